//! Files that a person names: read up to a bound, and only if they are files, so that a device or a pipe named by mistake ends in an error.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;

/// The largest file that is read.
const LARGEST: u64 = 256 * 1024;

/// The text of a file of certificates or keys, in whatever encoding it is.
pub fn pem(path: &Path) -> Result<String> {
    bytes(path).map(toktra_siem_platform::pem::of_file)
}

/// The text of a file.
pub fn text(path: &Path) -> Result<String> {
    String::from_utf8(bytes(path)?).map_err(|_| Error::new(ErrorKind::InvalidData, "it is no text in UTF-8"))
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    let wrong = |what: String| Err(Error::new(ErrorKind::InvalidInput, what));
    if !std::fs::metadata(path)?.is_file() {
        return wrong("it is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return wrong(format!("it is larger than {} KiB", LARGEST / 1024));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        for (path, said) in
            [("/dev/zero", "no regular file"), ("/", "no regular file"), ("/nowhere/at/all", "No such file")]
        {
            let error = pem(Path::new(path)).unwrap_err().to_string();
            assert!(error.contains(said), "{path}: {error}");
        }
        let folder = std::env::temp_dir().join(format!("toktra-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("large.pem");
        std::fs::write(&path, vec![b'x'; 256 * 1024]).unwrap();
        assert_eq!(text(&path).unwrap().len(), 256 * 1024);
        std::fs::write(&path, vec![b'x'; 256 * 1024 + 1]).unwrap();
        assert!(pem(&path).unwrap_err().to_string().contains("larger than 256 KiB"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
