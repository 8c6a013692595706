//! The archive of a function: one deflated file, with the same bytes for the same binary.

use std::io::Write;

use anyhow::{Context, Result};
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// The program that Lambda starts on `provided.al2023`.
const NAME: &[u8] = b"bootstrap";
/// 1 January 1980, the first day of the format.
const DATE: u16 = 1 << 5 | 1;
/// A regular file with mode 755. Lambda starts only an executable.
const MODE: u32 = 0o100_755 << 16;
/// Version 2.0 of the format: deflate.
const VERSION: u16 = 20;
/// Made on Unix, so the mode counts.
const MADE_BY: u16 = 3 << 8 | VERSION;
const DEFLATE: u16 = 8;

/// Packs a binary as `bootstrap` (APPNOTE.TXT 4.3).
///
/// # Errors
/// The binary has 4 GiB or more.
pub(super) fn bootstrap(binary: &[u8]) -> Result<Vec<u8>> {
    let mut deflated = DeflateEncoder::new(Vec::new(), Compression::best());
    deflated.write_all(binary)?;
    let deflated = deflated.finish()?;
    let mut crc = Crc::new();
    crc.update(binary);
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).context("the binary is too large for a zip");

    // Fields that the local header and the directory share (4.3.7, 4.3.12).
    let mut fields = Vec::new();
    for number in [VERSION, 0, DEFLATE, 0, DATE] {
        fields.extend(number.to_le_bytes());
    }
    for number in [crc.sum(), length(&deflated)?, length(binary)?] {
        fields.extend(number.to_le_bytes());
    }
    fields.extend(u16::try_from(NAME.len())?.to_le_bytes());
    fields.extend([0; 2]);

    let local = [b"PK\x03\x04", fields.as_slice(), NAME, &deflated].concat();
    let mut directory = [b"PK\x01\x02", MADE_BY.to_le_bytes().as_slice(), &fields].concat();
    // No comment, disk 0, a binary file.
    directory.extend([0; 6]);
    directory.extend(MODE.to_le_bytes());
    // The local header is at the start.
    directory.extend([0; 4]);
    directory.extend(NAME);
    // One entry on one disk (4.3.16).
    let mut end = b"PK\x05\x06\0\0\0\0\x01\0\x01\0".to_vec();
    end.extend(length(&directory)?.to_le_bytes());
    end.extend(length(&local)?.to_le_bytes());
    end.extend([0; 2]);
    Ok([local, directory, end].concat())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::elf::unzipped;

    /// invariant: The archive of a function depends on its binary alone.
    #[test]
    fn the_same_binary_gives_the_same_archive() {
        let binary = [0x7f; 100_000];
        let archive = bootstrap(&binary).unwrap();
        assert_eq!(unzipped(&archive).unwrap(), binary);
        std::thread::sleep(std::time::Duration::from_secs(2));
        assert_eq!(
            bootstrap(&binary).unwrap(),
            archive,
            "a second run, later than the resolution of a zip's times"
        );
    }

    /// Python's zipfile stands for Lambda: it checks directory, checksum and mode.
    #[test]
    fn another_program_reads_the_archive() {
        let folder = daypass_tools::target_dir().join("tmp").join(format!("archive-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("f.zip");
        std::fs::write(&file, bootstrap(b"#!/bin/sh\n").unwrap()).unwrap();
        let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\n\
                      print(z.testzip(), [(i.filename, oct(i.external_attr >> 16), i.date_time[:3]) for i in z.infolist()], z.read('bootstrap'))";
        let output = Command::new("python3").args(["-c", script]).arg(&file).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            printed.trim(),
            "None [('bootstrap', '0o100755', (1980, 1, 1))] b'#!/bin/sh\\n'",
            "{output:?}"
        );
        std::fs::remove_dir_all(folder).unwrap();
    }
}
