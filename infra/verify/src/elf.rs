//! Inspection of a function's binary: its processor, its glibc and its symbols.

use std::fmt;
use std::io::Read;

use anyhow::{Context, Result, bail};
use flate2::read::DeflateDecoder;
use object::elf::{EM_AARCH64, EM_X86_64, FileHeader64};
use object::read::elf::{FileHeader, SectionHeader};
use object::{Endianness, elf};

/// glibc of Amazon Linux 2023, the system of `provided.al2023`. A binary that needs a newer version does not start
/// there.
pub(crate) const LAMBDA_GLIBC: Glibc = Glibc { major: 2, minor: 34 };

/// Digest of the self-test of jitterentropy, the library with which AWS-LC collects entropy from the processor's timing:
/// `exp_256` of its `jitterentropy-sha3.c`. A binary that links the library contains it.
const JITTER_ENTROPY: [u8; 32] = [
    0xf1, 0x6e, 0x66, 0xc0, 0x43, 0x72, 0xb4, 0xa3, 0xe1, 0xe3, 0x2e, 0x07, 0xc4, 0x1c, 0x03, 0x40, 0x8a,
    0xd5, 0x43, 0x86, 0x8c, 0xc4, 0x0e, 0xc5, 0x5e, 0x00, 0xbb, 0xbb, 0xbd, 0xf5, 0x91, 0x1e,
];

/// A processor of Lambda.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Processor {
    #[value(name = "x86_64")]
    X86,
    #[value(name = "arm64")]
    Arm,
}

impl Processor {
    /// The processor of this machine, for which `cargo lambda build` builds.
    ///
    /// # Errors
    /// Lambda does not have this processor.
    pub(crate) fn of_this_machine() -> Result<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(Self::X86),
            "aarch64" => Ok(Self::Arm),
            other => bail!("Lambda has no processor of this machine's kind ({other})"),
        }
    }

    /// The target of the Rust compiler.
    pub(crate) const fn target(self) -> &'static str {
        match self {
            Self::X86 => "x86_64-unknown-linux-gnu",
            Self::Arm => "aarch64-unknown-linux-gnu",
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

/// A version of glibc.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Glibc {
    major: u32,
    minor: u32,
}

impl Glibc {
    /// Parses a symbol version such as `GLIBC_2.34` or `GLIBC_2.2.5`; `None` for other names.
    fn of_symbol_version(name: &str) -> Option<Self> {
        // Names of features of the dynamic linker, such as `GLIBC_ABI_DT_RELR` since 2.36.
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

/// Properties of a binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Binary {
    processor: Processor,
    /// Newest glibc symbol version that it needs; `None` if it does not link glibc.
    pub(crate) glibc: Option<Glibc>,
    /// Whether it has symbols, which nothing on Lambda reads.
    symbols: bool,
    /// Whether its first random number waits for entropy from the processor's timing.
    jitter_entropy: bool,
}

impl Binary {
    /// Parses an executable.
    ///
    /// # Errors
    /// The file is not a 64-bit ELF executable for a processor of Lambda, or it is damaged.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let header = FileHeader64::<Endianness>::parse(bytes).context("it is not a 64-bit ELF file")?;
        let endian = header.endian()?;
        if !matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN) {
            bail!("it is an ELF file, but not an executable");
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
        let jitter_entropy = bytes.windows(JITTER_ENTROPY.len()).any(|bytes| bytes == JITTER_ENTROPY);
        Ok(Self { processor, glibc, symbols, jitter_entropy })
    }

    /// Checks that the binary starts on Lambda's `processor`, and has neither symbols nor jitter entropy.
    ///
    /// # Errors
    /// The problem and its remedy.
    pub(crate) fn accept(&self, processor: Processor) -> Result<()> {
        if self.processor != processor {
            bail!("it is for {}, not for {processor}", self.processor);
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
        if self.jitter_entropy {
            bail!(
                "it collects jitter entropy, which slows each start down: build it below the workspace, whose \
                 .cargo/config.toml sets AWS_LC_SYS_NO_JITTER_ENTROPY"
            );
        }
        Ok(())
    }
}

/// Unpacks the only file of an archive `bootstrap.zip`.
///
/// # Errors
/// The archive does not begin with a stored or deflated file.
pub(crate) fn unzipped(archive: &[u8]) -> Result<Vec<u8>> {
    let number = |at: usize| {
        let bytes = archive.get(at..at + 2).context("the archive is cut off")?;
        Ok::<_, anyhow::Error>(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    // Local header of the first file, section 4.3.7 of APPNOTE.
    if !archive.starts_with(b"PK\x03\x04") {
        bail!("it is not a zip archive");
    }
    let data = archive.get(30 + number(26)? + number(28)?..).context("the archive is cut off")?;
    let mut file = Vec::new();
    match number(8)? {
        8 => DeflateDecoder::new(data).read_to_end(&mut file).context("the archive is damaged")?,
        other => bail!("the archive uses compression method {other}, not deflate"),
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
        assert!(binary.jitter_entropy, "this program has the digest, to compare with");
        // A development build has symbols and is rejected.
        let error = Binary { glibc: None, ..binary }.accept(binary.processor).unwrap_err().to_string();
        assert!(error.contains("strip = \"symbols\""), "{error}");
    }

    #[test]
    fn what_would_not_start_is_refused() {
        let good = Binary {
            processor: Processor::Arm,
            glibc: Some(LAMBDA_GLIBC),
            symbols: false,
            jitter_entropy: false,
        };
        assert!(good.accept(Processor::Arm).is_ok());
        let other = good.accept(Processor::X86).unwrap_err().to_string();
        assert_eq!(other, "it is for arm64, not for x86_64");
        let newer = Binary { glibc: Some(Glibc { major: 2, minor: 35 }), ..good };
        assert!(newer.accept(Processor::Arm).unwrap_err().to_string().contains("glibc 2.35"));
        let slow = Binary { jitter_entropy: true, ..good };
        assert!(
            slow.accept(Processor::Arm).unwrap_err().to_string().contains("AWS_LC_SYS_NO_JITTER_ENTROPY")
        );
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
