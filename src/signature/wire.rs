//! What SSH packs into bytes (RFC 4251, 5): each text behind its length.

/// What is left of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wire<'a>(pub &'a [u8]);

impl<'a> Wire<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        Some(self.bytes(1)?[0])
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes(4)?.try_into().ok()?))
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.bytes(usize::try_from(length).ok()?)
    }

    /// A number above 0 in its one right form, without the leading zero that keeps it from being negative.
    pub(super) fn integer(&mut self) -> Option<&'a [u8]> {
        match self.string()? {
            [0, rest @ ..] => rest.first().is_some_and(|first| first & 0x80 != 0).then_some(rest),
            integer => integer.first().is_some_and(|first| first & 0x80 == 0).then_some(integer),
        }
    }

    /// `found`, where nothing is left behind it.
    pub(super) fn ended<T>(self, found: T) -> Option<T> {
        self.0.is_empty().then_some(found)
    }
}

/// A text as SSH packs it.
pub(super) fn packed(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], text].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_form() {
        let read = |bytes: &[u8]| Wire(&packed(bytes)).integer().map(<[u8]>::to_vec);
        assert_eq!(read(&[1, 2]), Some(vec![1, 2]));
        assert_eq!(read(&[0, 0x80]), Some(vec![0x80]));
        for wrong in [&[][..], &[0], &[0, 1], &[0, 0, 0x80], &[0x80]] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_length_beyond_the_end_is_no_text() {
        assert!(Wire(&[0, 0, 0, 2, 1]).string().is_none() && Wire(&[255, 255, 255, 255]).string().is_none());
        assert!(Wire(&[0, 0]).number().is_none() && Wire(&[1]).ended(()).is_none());
    }
}
