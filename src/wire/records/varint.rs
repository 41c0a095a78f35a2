//! Zigzag varints, as records and their headers use them (`ByteUtils.readVarint`, `readVarlong`).

/// Takes a 32 bit varint off the front. `None`: it is cut off, or longer than 5 bytes.
#[inline]
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<i32> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        *bytes = rest;
        return Some(zigzag32(u32::from(first)));
    }
    let (raw, used) = match *bytes {
        [a, b, ..] if *b < 0x80 => (u32::from(*a & 0x7f) | u32::from(*b) << 7, 2),
        [a, b, c, ..] if *c < 0x80 => (u32::from(*a & 0x7f) | u32::from(*b & 0x7f) << 7 | u32::from(*c) << 14, 3),
        _ => {
            let (raw, used) = long(bytes, 5)?;
            (raw as u32, used)
        }
    };
    *bytes = &bytes[used..];
    Some(zigzag32(raw))
}

/// Takes a 64 bit varint off the front. `None`: it is cut off, or longer than 10 bytes.
#[inline]
pub(super) fn take_varlong(bytes: &mut &[u8]) -> Option<i64> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        *bytes = rest;
        return Some(zigzag64(u64::from(first)));
    }
    let (raw, used) = long(bytes, 10)?;
    *bytes = &bytes[used..];
    Some(zigzag64(raw))
}

pub(super) fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_raw(out, u64::from(unzigzag32(value)));
}

pub(super) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    put_raw(out, unzigzag64(value));
}

/// Bytes `put_varint` writes: 1 to 5.
pub(super) fn varint_size(value: i32) -> usize {
    raw_size(u64::from(unzigzag32(value)))
}

/// Bytes `put_varlong` writes: 1 to 10.
pub(super) fn varlong_size(value: i64) -> usize {
    raw_size(unzigzag64(value))
}

/// Bits above the 64th of the tenth byte (the 32nd of the fifth) are dropped, as Java's shifts drop them.
#[cold]
fn long(bytes: &[u8], most: usize) -> Option<(u64, usize)> {
    let mut raw = 0_u64;
    for (index, &byte) in bytes.iter().take(most).enumerate() {
        raw |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((raw, index + 1));
        }
    }
    None
}

fn put_raw(out: &mut Vec<u8>, mut raw: u64) {
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

fn raw_size(raw: u64) -> usize {
    (64 - (raw | 1).leading_zeros() as usize).div_ceil(7)
}

pub(super) fn zigzag32(raw: u32) -> i32 {
    (raw >> 1) as i32 ^ -((raw & 1) as i32)
}

fn zigzag64(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

fn unzigzag32(value: i32) -> u32 {
    (value << 1 ^ value >> 31) as u32
}

fn unzigzag64(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_comes_back_and_is_as_long_as_its_size_says() {
        for shift in 0..64 {
            for value in [1_i64 << shift, (1_i64 << shift).wrapping_sub(1), (1_i64 << shift).wrapping_neg()] {
                let mut out = Vec::new();
                put_varlong(&mut out, value);
                assert_eq!(out.len(), varlong_size(value));
                let mut rest = out.as_slice();
                assert_eq!(take_varlong(&mut rest), Some(value));
                assert!(rest.is_empty());

                let (value, mut out) = (value as i32, Vec::new());
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_size(value));
                let mut rest = out.as_slice();
                assert_eq!(take_varint(&mut rest), Some(value));
                assert!(rest.is_empty());
            }
        }
    }

    #[test]
    fn cut_and_overlong_varints_are_refused() {
        for length in 0..5 {
            assert_eq!(take_varint(&mut &vec![0x80; length][..]), None);
        }
        assert_eq!(take_varint(&mut &[0x80, 0x80, 0x80, 0x80, 0x80, 0][..]), None);
        assert_eq!(take_varint(&mut &[0x80, 0x80, 0x80, 0x80, 0][..]), Some(0));
        assert_eq!(take_varlong(&mut &[0x80; 10][..]), None);
        assert_eq!(take_varlong(&mut &[0x80; 9][..]), None);
    }
}
