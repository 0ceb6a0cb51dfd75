//! A frame: a 4-byte big-endian length, then that many bytes of JSON.

use serde::Serialize;
use thiserror::Error;

/// Bytes of the length in front of a body.
pub const HEADER: usize = 4;

/// Longest body in bytes. The longest real one is GC's list: some 110 bytes an attachment.
pub const MAX_FRAME: usize = 1 << 20;

/// A frame that cannot be made or taken.
#[derive(Debug, Error)]
pub enum FrameError {
    /// The body is too long.
    #[error("a frame of {len} bytes: at most {MAX_FRAME} are allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A body of no bytes.
    #[error("an empty frame")]
    Empty,
    /// The body is not the JSON it should be.
    #[error("not a valid message: {0}")]
    Json(#[from] serde_json::Error),
}

/// Header and body of a message.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, message)?;
    let len = frame.len() - HEADER;
    let header = u32::try_from(len).ok().filter(|_| len <= MAX_FRAME).ok_or(FrameError::TooLong { len })?;
    frame[..HEADER].copy_from_slice(&header.to_be_bytes());
    Ok(frame)
}

/// The length of the body that a header announces, within bounds.
pub fn body_len(header: [u8; HEADER]) -> Result<usize, FrameError> {
    match usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX) {
        0 => Err(FrameError::Empty),
        len if len > MAX_FRAME => Err(FrameError::TooLong { len }),
        len => Ok(len),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_the_bodys_length() {
        let frame = encode(&"abc").unwrap();
        assert_eq!(frame, b"\0\0\0\x05\"abc\"");
        assert_eq!(body_len(frame[..HEADER].try_into().unwrap()).unwrap(), 5);
    }

    #[test]
    fn lengths_out_of_bounds_are_refused() {
        assert!(matches!(body_len([0; 4]), Err(FrameError::Empty)));
        assert!(matches!(body_len([0xff; 4]), Err(FrameError::TooLong { .. })));
        assert!(matches!(encode(&"x".repeat(MAX_FRAME)), Err(FrameError::TooLong { .. })));
    }
}
