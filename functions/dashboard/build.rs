//! Embeds the files of `web/` in the binary, plain and compressed, under a version that is a hash of all files.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};

/// Replaced in the page by the version.
const PLACEHOLDER: &str = "{{version}}";

fn main() -> io::Result<()> {
    let web = Path::new("web");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    println!("cargo::rerun-if-changed={}", web.display());

    let mut paths = Vec::new();
    collect(web, &mut paths)?;
    paths.sort();
    let mut files = paths
        .into_iter()
        .map(|path| Ok((name(web, &path), fs::read(path)?)))
        .collect::<io::Result<Vec<_>>>()?;

    let mut hash = Sha256::new();
    for (name, content) in &files {
        hash.update(name);
        hash.update([0]);
        hash.update(Sha256::digest(content));
    }
    let version = hash.finalize()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();

    let mut table = format!("const VERSION: &str = {version:?};\nconst FILES: &[File] = &[\n");
    for (number, (name, content)) in files.iter_mut().enumerate() {
        if name == "index.html" {
            let page = String::from_utf8_lossy(content).replace(PLACEHOLDER, &version);
            *content = page.into_bytes();
        }
        let (plain, gzip) = (
            out.join(number.to_string()),
            out.join(format!("{number}.gz")),
        );
        fs::write(&plain, &content)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content)?;
        fs::write(&gzip, encoder.finish()?)?;
        let _ = writeln!(
            table,
            "    File {{ name: {name:?}, plain: include_bytes!({plain:?}), gzip: include_bytes!({gzip:?}) }},",
        );
    }
    table.push_str("];\n");
    fs::write(out.join("files.rs"), table)
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), into)?;
        } else {
            into.push(entry.path());
        }
    }
    Ok(())
}

/// Returns the file's path below `web/`, with slashes.
fn name(web: &Path, path: &Path) -> String {
    let below = path.strip_prefix(web).unwrap_or(path);
    let segments = below.iter().map(|segment| segment.to_string_lossy());
    segments.collect::<Vec<_>>().join("/")
}
