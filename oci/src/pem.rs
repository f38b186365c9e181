//! PEM as people keep it: with a label after the end, a byte order mark, CRLF, words before it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// One `-----BEGIN …-----` block.
pub(crate) struct Block {
    /// What stands between `BEGIN ` and the dashes, such as `RSA PRIVATE KEY`.
    pub label: String,
    /// RFC 1421 headers, such as `Proc-Type`, in order.
    pub headers: Vec<(String, String)>,
    /// The decoded contents.
    pub der: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

/// Why a text holds no usable block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PemError {
    #[error("no -----BEGIN line found: not a PEM file")]
    NoBlock,
    #[error("the block has no -----END line: the file is cut off")]
    Unterminated,
    #[error("the text between BEGIN and END is not base64")]
    NotBase64,
}

/// All blocks of `text`, in order; text around them is ignored.
///
/// Oracle tells users to append a line `OCI_API_KEY` to their key, and `oci setup keys` does so.
pub(crate) fn parse(text: &str) -> Result<Vec<Block>, PemError> {
    let mut blocks = Vec::new();
    let mut lines = text
        .lines()
        .map(|line| line.trim_matches(['\u{feff}', ' ', '\t', '\r']));
    while let Some(line) = lines.next() {
        if let Some(label) = boundary(line, "-----BEGIN ") {
            blocks.push(read_block(label, &mut lines)?);
        }
    }
    if blocks.is_empty() {
        Err(PemError::NoBlock)
    } else {
        Ok(blocks)
    }
}

fn boundary<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    line.strip_prefix(start)?.strip_suffix("-----")
}

fn read_block<'a>(
    label: &str,
    lines: &mut impl Iterator<Item = &'a str>,
) -> Result<Block, PemError> {
    let mut headers = Vec::new();
    // As long as any key, so that growing leaves no copy of it behind on the heap.
    let mut base64 = Zeroizing::new(String::with_capacity(16 * 1024));
    for line in lines {
        if boundary(line, "-----END ") == Some(label) {
            let der = STANDARD
                .decode(base64.as_bytes())
                .map_err(|_| PemError::NotBase64)?;
            return Ok(Block {
                label: label.to_owned(),
                headers,
                der: Zeroizing::new(der),
            });
        }
        if line.starts_with("-----") {
            return Err(PemError::Unterminated);
        }
        match line.split_once(':') {
            Some((name, value)) if base64.is_empty() => {
                headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            _ => base64.push_str(line),
        }
    }
    Err(PemError::Unterminated)
}
