//! The file inside of a `multipart/form-data` body, with one piece of it in memory at a time.
//!
//! Not the crate `multer`: it reads ahead as fast as the client sends, without a bound, and holds the whole of a head or of
//! a preamble.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{StreamExt, stream};

use crate::store::files::FileContent;

/// The field with the file.
const FIELD: &str = "file";

/// Size of the head of a part, in bytes.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Size of all before the file, and of all behind it, in bytes.
pub(super) const OTHER_BYTES_MAX: usize = 64 * 1024;

/// Length of a boundary, in bytes; RFC 2046 allows 70.
const BOUNDARY_BYTES_MAX: usize = 200;

/// The boundary between the parts, from the body's content type; `None` for another type.
pub(super) fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then(|| value.trim().trim_matches('"'))
    })?;
    (1..=BOUNDARY_BYTES_MAX)
        .contains(&boundary.len())
        .then_some(boundary)
}

/// Returns the bytes of the form's file. The stream ends with an error if the form ends inside of the file.
///
/// # Errors
/// `InvalidData` for a malformed form, or a form without a file; those of `body`.
pub(super) async fn file(body: FileContent, boundary: &str) -> io::Result<FileContent> {
    let mut form = Form::new(body, boundary);
    let mut skipped = 0;
    loop {
        while let Some(piece) = form.data().await? {
            skipped += piece.len();
            if skipped > OTHER_BYTES_MAX {
                return Err(invalid("there is too much before the file"));
            }
        }
        let head = form.head().await?;
        let head = head.ok_or_else(|| invalid("there is no file in the form"))?;
        skipped += head.len();
        if is_file(&head) {
            break;
        }
    }
    Ok(Box::pin(stream::try_unfold(form, |mut form| async move {
        if let Some(piece) = form.data().await? {
            return Ok(Some((piece, form)));
        }
        form.drain().await;
        Ok(None)
    })))
}

/// A reader of a form.
struct Form {
    body: FileContent,
    /// Bytes that are read and not used yet.
    buffer: BytesMut,
    /// CRLF and the boundary.
    delimiter: Vec<u8>,
}

impl Form {
    fn new(body: FileContent, boundary: &str) -> Self {
        Self {
            body,
            // The first boundary has no line before it.
            buffer: BytesMut::from(&b"\r\n"[..]),
            delimiter: format!("\r\n--{boundary}").into_bytes(),
        }
    }

    /// Reads a further piece of the body.
    async fn read(&mut self) -> io::Result<()> {
        let piece = self.body.next().await;
        let piece = piece.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
        self.buffer.extend_from_slice(&piece);
        Ok(())
    }

    /// Returns the next bytes of the part, or of the preamble; `None` at its end, behind the delimiter.
    async fn data(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(end) = find(&self.buffer, &self.delimiter) {
                if end > 0 {
                    return Ok(Some(self.buffer.split_to(end).freeze()));
                }
                self.buffer.advance(self.delimiter.len());
                return Ok(None);
            }
            // The last bytes may begin a delimiter.
            let certain = (self.buffer.len() + 1).saturating_sub(self.delimiter.len());
            if certain > 0 {
                return Ok(Some(self.buffer.split_to(certain).freeze()));
            }
            self.read().await?;
        }
    }

    /// Returns the head of the next part; `None` behind the last part.
    async fn head(&mut self) -> io::Result<Option<Bytes>> {
        const END: &[u8] = b"\r\n\r\n";
        loop {
            if self.buffer.starts_with(b"--") {
                return Ok(None);
            }
            if let Some(end) = find(&self.buffer, END) {
                let head = self.buffer.split_to(end).freeze();
                self.buffer.advance(END.len());
                return Ok(Some(head));
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(invalid("a part of the form has too long a head"));
            }
            self.read().await?;
        }
    }

    /// Reads the rest behind the file, so that the client can read the response.
    async fn drain(&mut self) {
        let mut left = OTHER_BYTES_MAX;
        while let Some(Ok(piece)) = self.body.next().await {
            match left.checked_sub(piece.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }
}

/// True if the head is that of the file.
fn is_file(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let disposition = lines.find(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"));
    disposition.is_some_and(|(_, value)| {
        value.split(';').any(|parameter| {
            let named = parameter.trim().strip_prefix("name=");
            named.is_some_and(|name| name.trim_matches('"') == FIELD)
        })
    })
}

/// The position of `wanted` in `text`.
fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "ignored\r\n--xyz\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk.png\r\n\
         --xyz \r\nContent-Type: image/png\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a;b\"\r\n\r\n\
         one\r\n--xy two\r\n\r\n--xyz\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nt\r\n--xyz--\r\n";

    /// Reads the file of `form`, which comes `size` bytes at a time.
    async fn read(form: &str, size: usize) -> io::Result<String> {
        let pieces: Vec<_> = form
            .as_bytes()
            .chunks(size)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        let mut content = file(Box::pin(stream::iter(pieces)), "xyz").await?;
        let mut bytes = Vec::new();
        while let Some(piece) = content.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[tokio::test]
    async fn file_is_found_however_body_is_cut() {
        for size in 1..=FORM.len() {
            assert_eq!(read(FORM, size).await.unwrap(), "one\r\n--xy two\r\n", "{size}");
        }
        // First, last, empty, not in quotes.
        let form = "--xyz\r\nContent-Disposition: form-data; name=file\r\n\r\n\r\n--xyz--";
        assert_eq!(read(form, 7).await.unwrap(), "");
    }

    #[tokio::test]
    async fn malformed_or_incomplete_form_is_an_error() {
        let whole = FORM.find("\r\n--xyz\r\nContent-Disposition: form-data; name=\"token\"");
        for end in 0..whole.unwrap() {
            assert!(read(&FORM[..end], 5).await.is_err(), "{end}");
        }
        let long = "x".repeat(2 * OTHER_BYTES_MAX);
        for (form, kind) in [
            (FORM.replace("\"file\"", "\"other\""), io::ErrorKind::InvalidData),
            (long.clone(), io::ErrorKind::InvalidData),
            (format!("--xyz\r\nA: {long}"), io::ErrorKind::InvalidData),
            ("--xyz--".to_owned(), io::ErrorKind::InvalidData),
            ("no form".to_owned(), io::ErrorKind::UnexpectedEof),
        ] {
            assert_eq!(read(&form, 1000).await.unwrap_err().kind(), kind, "{form:.20}");
        }
    }

    #[test]
    fn boundary_is_read_from_content_type() {
        for (content_type, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("Multipart/Form-Data;charset=utf-8; Boundary=\"a b\"", Some("a b")),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data", None),
            ("multipart/mixed; boundary=abc", None),
            ("application/json", None),
        ] {
            assert_eq!(boundary(content_type), expected, "{content_type}");
        }
    }
}
