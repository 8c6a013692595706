//! What a function's binary is: the processor that it is for, the glibc that it needs, and whether it carries its symbols.

use std::fmt;
use std::io::Read;

use anyhow::{Context, Result, bail};
use flate2::read::DeflateDecoder;
use object::elf::{EM_AARCH64, EM_X86_64, FileHeader64};
use object::read::elf::{FileHeader, SectionHeader};
use object::{Endianness, elf};

/// The glibc of Amazon Linux 2023, on which `provided.al2023` runs. A binary that asks for a newer one does not start there.
const LAMBDA_GLIBC: Glibc = Glibc { major: 2, minor: 34 };

/// A processor of Lambda.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Processor {
    /// `x86_64`.
    X86,
    /// `arm64`.
    Arm,
}

impl Processor {
    /// This machine's, which `cargo lambda build` builds for.
    ///
    /// # Errors
    /// When Lambda has no such processor.
    pub(crate) fn of_this_machine() -> Result<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(Self::X86),
            "aarch64" => Ok(Self::Arm),
            other => bail!("Lambda has no processor of this machine's kind ({other})"),
        }
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86 => "x86_64",
            Self::Arm => "arm64",
        })
    }
}

/// A version of glibc, ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Glibc {
    major: u32,
    minor: u32,
}

impl Glibc {
    /// Of a symbol version such as `GLIBC_2.34` or `GLIBC_2.2.5`; `None` for what is none.
    fn of_symbol_version(name: &str) -> Option<Self> {
        // Names for what the dynamic linker has to understand, `GLIBC_ABI_DT_RELR` the first of them, in 2.36.
        if name.starts_with("GLIBC_ABI_") {
            return Some(Self { major: 2, minor: 36 });
        }
        let mut numbers = name.strip_prefix("GLIBC_")?.split('.').map(str::parse);
        Some(Self { major: numbers.next()?.ok()?, minor: numbers.next()?.ok()? })
    }
}

impl fmt::Display for Glibc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What was found in a binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Binary {
    processor: Processor,
    /// The newest version of any symbol that it asks glibc for; `None` when it is linked without.
    pub(crate) glibc: Option<Glibc>,
    /// Whether the names of its functions are in the file, which nobody there reads.
    symbols: bool,
}

impl Binary {
    /// Reads an executable.
    ///
    /// # Errors
    /// When it is no 64-bit ELF file for a processor of Lambda, or a broken one.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let header = FileHeader64::<Endianness>::parse(bytes).context("it is no 64-bit ELF file")?;
        let endian = header.endian()?;
        if !matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN) {
            bail!("it is an ELF file, and no executable");
        }
        let processor = match header.e_machine(endian) {
            EM_X86_64 => Processor::X86,
            EM_AARCH64 => Processor::Arm,
            other => bail!("it is for a processor that Lambda does not have (ELF machine {other})"),
        };
        let sections = header.sections(endian, bytes)?;
        let mut glibc = None;
        if let Some((mut needs, names)) = sections.gnu_verneed(endian, bytes)? {
            let names = sections.strings(endian, bytes, names)?;
            while let Some((_, mut versions)) = needs.next()? {
                while let Some(version) = versions.next()? {
                    let name = std::str::from_utf8(version.name(endian, names)?)?;
                    glibc = glibc.max(Glibc::of_symbol_version(name));
                }
            }
        }
        let symbols = sections.iter().any(|section| section.sh_type(endian) == elf::SHT_SYMTAB);
        Ok(Self { processor, glibc, symbols })
    }

    /// Fails unless it starts on Lambda's `processor`, and is no larger than it has to be.
    ///
    /// # Errors
    /// With what is wrong, and what mends it.
    pub(crate) fn accept(&self, processor: Processor) -> Result<()> {
        if self.processor != processor {
            bail!("it is for {}, and not for {processor}", self.processor);
        }
        if let Some(glibc) = self.glibc.filter(|glibc| *glibc > LAMBDA_GLIBC) {
            bail!(
                "it asks for glibc {glibc}, and provided.al2023 has {LAMBDA_GLIBC}: build it with cargo-lambda and Zig, or on a \
                 system that is no newer"
            );
        }
        if self.symbols {
            bail!(
                "it carries its symbols: a package with a profile of its own needs `strip = \"symbols\"` there too"
            );
        }
        Ok(())
    }
}

/// The one file of an archive `bootstrap.zip`.
///
/// # Errors
/// When the archive does not begin with a file that is stored or deflated.
pub(crate) fn unzipped(archive: &[u8]) -> Result<Vec<u8>> {
    let number = |at: usize| {
        let bytes = archive.get(at..at + 2).context("the archive is cut off")?;
        Ok::<_, anyhow::Error>(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    // The local header of the first file, 4.3.7 of the format's APPNOTE.
    if !archive.starts_with(b"PK\x03\x04") {
        bail!("it is no zip archive");
    }
    let data = archive.get(30 + number(26)? + number(28)?..).context("the archive is cut off")?;
    let mut file = Vec::new();
    match number(8)? {
        8 => DeflateDecoder::new(data).read_to_end(&mut file).context("the archive is damaged")?,
        other => bail!("the archive has method {other}, and not deflate"),
    };
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::DeflateEncoder;
    use std::io::Write;

    fn this_test() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_real_binary_is_read() {
        let binary = Binary::read(&this_test()).unwrap();
        assert_eq!(binary.processor, Processor::of_this_machine().unwrap());
        assert!(binary.glibc.unwrap() >= Glibc { major: 2, minor: 17 }, "{binary:?}");
        // A development build has its symbols, and is told so.
        let error = Binary { glibc: None, ..binary }.accept(binary.processor).unwrap_err().to_string();
        assert!(error.contains("strip = \"symbols\""), "{error}");
    }

    #[test]
    fn what_would_not_start_is_refused() {
        let good = Binary { processor: Processor::Arm, glibc: Some(LAMBDA_GLIBC), symbols: false };
        assert!(good.accept(Processor::Arm).is_ok());
        let other = good.accept(Processor::X86).unwrap_err().to_string();
        assert_eq!(other, "it is for arm64, and not for x86_64");
        let newer = Binary { glibc: Some(Glibc { major: 2, minor: 35 }), ..good };
        assert!(newer.accept(Processor::Arm).unwrap_err().to_string().contains("glibc 2.35"));
    }

    #[test]
    fn versions_are_ordered_as_numbers() {
        let of = |name| Glibc::of_symbol_version(name);
        assert!(of("GLIBC_2.4") < of("GLIBC_2.17") && of("GLIBC_2.2.5") < of("GLIBC_2.3"));
        assert_eq!((of("GLIBC_PRIVATE"), of("GCC_3.0")), (None, None));
    }

    #[test]
    fn what_is_no_binary_is_an_error() {
        assert!(Binary::read(b"#!/bin/sh\n").is_err());
        let binary = this_test();
        assert!(Binary::read(&binary[..40]).is_err(), "cut off");
    }

    #[test]
    fn the_file_of_an_archive_is_found() {
        let mut deflated = DeflateEncoder::new(Vec::new(), Compression::default());
        deflated.write_all(b"the binary").unwrap();
        let mut archive = b"PK\x03\x04\x14\0\0\0\x08\0".to_vec();
        archive.extend([0; 16]);
        archive.extend([9, 0, 0, 0]);
        archive.extend(b"bootstrap");
        archive.extend(deflated.finish().unwrap());
        archive.extend(b"PK\x01\x02, the directory");
        assert_eq!(unzipped(&archive).unwrap(), b"the binary");
        assert!(unzipped(b"nothing").is_err() && unzipped(&archive[..20]).is_err());
    }
}
