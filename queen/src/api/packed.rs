//! In which form a file of the page goes over the wire, and each form packed once.
//!
//! Owns the choice of an encoding and the packed files; what is put together for one request is packed by the layer in
//! `mod.rs`. It knows no file by name. Read next: `assets.rs`.

use axum::{
    body::Bytes,
    http::{Extensions, HeaderMap, StatusCode, Version, header},
};
use flate2::{Compression, write::GzEncoder};
use std::{
    collections::HashMap,
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

/// A file is packed once and sent often; the step above takes ten times as long for a twentieth less.
const BROTLI_QUALITY: u32 = 9;
/// The largest window that every browser takes.
const BROTLI_WINDOW: u32 = 22;
const BUFFER: usize = 4096;

/// The files that were asked for so far, by name and form, with the hash of what was packed.
static PACKED: Mutex<Option<Files>> = Mutex::new(None);

type Files = HashMap<(String, Coding), ([u8; 32], Bytes)>;

/// The form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// As it is.
    Plain,
    /// gzip.
    Gzip,
    /// Brotli.
    Brotli,
}

impl Coding {
    /// The best one that the client takes.
    pub fn wanted(headers: &HeaderMap) -> Self {
        let (mut brotli, mut gzip) = (0.0, 0.0);
        let lines = headers.get_all(header::ACCEPT_ENCODING).iter();
        for one in lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
        {
            let (name, weight) = one.split_once(';').unwrap_or((one, ""));
            let weight = weight
                .trim()
                .strip_prefix("q=")
                .map_or(1.0, |q| q.parse().unwrap_or(0.0));
            match name.trim() {
                name if name.eq_ignore_ascii_case("br") => brotli = weight,
                name if name.eq_ignore_ascii_case("gzip") => gzip = weight,
                _ => {}
            }
        }
        if brotli > 0.0 && brotli >= gzip {
            Self::Brotli
        } else if gzip > 0.0 {
            Self::Gzip
        } else {
            Self::Plain
        }
    }

    /// Its word in `Content-Encoding`.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Gzip => Some("gzip"),
            Self::Brotli => Some("br"),
        }
    }

    /// What tells its tag from those of the other forms.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Gzip => "-gz",
            Self::Brotli => "-br",
        }
    }

    /// The file `name`, whose content has this hash, in this form.
    ///
    /// # Errors
    /// That of the runtime, when it ends meanwhile.
    pub async fn pack(self, name: &str, hash: [u8; 32], data: Bytes) -> io::Result<Bytes> {
        if self == Self::Plain {
            return Ok(data);
        }
        let key = (name.to_owned(), self);
        let known = with(|files| {
            files
                .get(&key)
                .filter(|(of, _)| *of == hash)
                .map(|(_, bytes)| bytes.clone())
        });
        if let Some(bytes) = known {
            return Ok(bytes);
        }
        let bytes = Bytes::from(tokio::task::spawn_blocking(move || self.packed(&data)).await??);
        with(|files| files.insert(key, (hash, bytes.clone())));
        Ok(bytes)
    }

    fn packed(self, data: &[u8]) -> io::Result<Vec<u8>> {
        if self == Self::Gzip {
            let mut packer = GzEncoder::new(Vec::new(), Compression::best());
            packer.write_all(data)?;
            return packer.finish();
        }
        let mut packer = brotli::CompressorWriter::new(Vec::new(), BUFFER, BROTLI_QUALITY, BROTLI_WINDOW);
        packer.write_all(data)?;
        packer.flush()?;
        Ok(packer.into_inner())
    }
}

fn with<T>(act: impl FnOnce(&mut Files) -> T) -> T {
    // A panic while the map is held cannot leave it half-changed.
    let mut files = PACKED.lock().unwrap_or_else(PoisonError::into_inner);
    act(files.get_or_insert_with(HashMap::new))
}

/// True of an answer that the layer may pack: a tag belongs to the bytes that it was made for.
pub fn untagged(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    !headers.contains_key(header::ETAG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_best_form_that_the_client_takes_is_chosen() {
        for (accept, wanted) in [
            ("gzip, deflate, br, zstd", Coding::Brotli),
            ("gzip;q=1.0, br;q=0.5", Coding::Gzip),
            ("br;q=0, gzip", Coding::Gzip),
            ("BR", Coding::Brotli),
            ("gzip;q=0.000", Coding::Plain),
            ("gzip;q=much", Coding::Plain),
            ("identity", Coding::Plain),
            ("", Coding::Plain),
        ] {
            let headers = [(header::ACCEPT_ENCODING, HeaderValue::from_static(accept))];
            assert_eq!(Coding::wanted(&headers.into_iter().collect()), wanted, "{accept}");
        }
        assert_eq!(Coding::wanted(&HeaderMap::new()), Coding::Plain);
    }
}
