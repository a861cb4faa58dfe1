//! The page's files, embedded in the binary. `build.rs` generates the table.

use crate::media_type::MediaType;

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// One file below `web/`.
#[derive(Debug)]
pub(crate) struct File {
    name: &'static str,
    /// The content, as in `web/`.
    pub(crate) plain: &'static [u8],
    /// The content, compressed.
    pub(crate) gzip: &'static [u8],
}

/// Returns a hash of all files. It is part of their URLs, so that a cached file never belongs to another version.
pub(crate) const fn version() -> &'static str {
    VERSION
}

/// Returns the file at this path below `web/`, and its media type.
pub(crate) fn find(name: &str) -> Option<(&'static File, MediaType)> {
    let file = FILES.iter().find(|file| file.name == name)?;
    Some((file, MediaType::of(name)?))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn every_file_has_a_media_type_and_is_the_same_when_decompressed() {
        for file in FILES {
            assert!(find(file.name).is_some(), "{}", file.name);
            let mut decompressed = Vec::new();
            flate2::read::GzDecoder::new(file.gzip)
                .read_to_end(&mut decompressed)
                .expect("it was compressed");
            assert!(decompressed == file.plain, "{}", file.name);
        }
    }

    #[test]
    fn the_page_loads_files_of_this_version_only() {
        let (page, _) = find("index.html").expect("there is a page");
        let page = std::str::from_utf8(page.plain).expect("it is text");
        let prefix = format!("/assets/{VERSION}/");
        let named: Vec<_> = page
            .split('"')
            .filter(|text| text.starts_with("/assets/"))
            .collect();
        assert!(named.len() > 2, "{named:?}");
        for path in named {
            let name = path.strip_prefix(&prefix).expect("it has this version");
            assert!(find(name).is_some(), "{path} leads nowhere");
        }
    }
}
