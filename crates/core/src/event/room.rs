//! Where the events of one request are put together: an allocation for each would cost more than copying it, and leave the heap full of holes.

use bytes::{Bytes, BytesMut};

/// The most that stored forms share. A buffer is freed with the last of its events, so it must not be large.
const SHARED: usize = 64 << 10;

/// Room for the events of one request.
#[derive(Debug)]
pub struct Room {
    /// The values of the event that is being read.
    pub(super) values: Vec<u8>,
    /// What is left of the present buffer.
    stored: BytesMut,
    /// Bytes of events that are still to come.
    to_come: usize,
}

impl Room {
    /// Room for events that have `bytes` as they were sent, all together.
    pub fn new(bytes: usize) -> Self {
        Self { values: Vec::new(), stored: BytesMut::new(), to_come: bytes }
    }

    /// What `write` appends: the stored form, of `len` bytes, of an event that was sent in `raw`.
    pub(super) fn place(&mut self, len: usize, raw: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        if self.stored.capacity() < len {
            // The others are expected to grow as this one does.
            let all = self.to_come.saturating_mul(len) / raw.max(1);
            self.stored = BytesMut::with_capacity(all.clamp(len, SHARED.max(len)));
        }
        self.to_come = self.to_come.saturating_sub(raw);
        write(&mut self.stored);
        // The last one has what is left, which saves a single event the counter of a shared buffer.
        let form = if self.to_come == 0 { std::mem::take(&mut self.stored) } else { self.stored.split() };
        form.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places events of these lengths, each sent in `raw` bytes, and gives their addresses.
    fn place(lens: &[usize], raw: usize) -> Vec<(usize, Bytes)> {
        let mut room = Room::new(lens.len() * raw);
        let place = |(n, len): (usize, &usize)| {
            let byte = u8::try_from(n % 251).unwrap();
            let form = room.place(*len, raw, |to| to.resize(to.len() + len, byte));
            assert!(form.len() == *len && form.iter().all(|b| *b == byte));
            (form.as_ptr().addr(), form)
        };
        lens.iter().enumerate().map(place).collect()
    }

    fn buffers(placed: &[(usize, Bytes)]) -> usize {
        1 + placed.windows(2).filter(|pair| pair[0].0 + pair[0].1.len() != pair[1].0).count()
    }

    #[test]
    fn events_of_a_request_lie_together_in_small_buffers() {
        assert_eq!(buffers(&place(&[800; 50], 700)), 1);
        let many = place(&[800; 1_000], 700);
        let full = SHARED / 800;
        assert!((1_000 / full..=1_000 / full + 2).contains(&buffers(&many)), "{}", buffers(&many));
        // One that is larger than a buffer has its own, and what grows more than was expected takes another.
        assert_eq!(buffers(&place(&[100, SHARED + 1, 100], 100)), 3);
        assert!(buffers(&place(&[100, 100, 100, 5_000], 100)) == 2);
    }

    #[test]
    fn a_single_event_takes_its_own_length() {
        let mut room = Room::new(3);
        room.place(4_000, 3, |to| to.resize(4_000, b'x'));
        assert_eq!(room.stored.capacity(), 0);
    }
}
