//! Every codec: there and back, other writers' forms, damage, and the bound on what comes out.

use super::*;

fn packed(codec: Codec, level: i32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress(codec, level, bytes, &mut Scratch::new(), &mut out);
    out
}

fn unpacked(codec: Codec, bytes: &[u8], limit: usize) -> Result<Vec<u8>, CodecError> {
    let mut out = b"before".to_vec();
    let result = decompress(codec, bytes, limit, &mut Scratch::new(), &mut out);
    assert!(out.starts_with(b"before"));
    if result.is_err() {
        assert_eq!(out.len(), 6);
    }
    result.map(|()| out.split_off(6))
}

#[test]
fn every_size_comes_back_and_the_limit_is_exact() {
    let mut dice = Dice::new(1);
    for size in [0, 1, 7, 15, 16, 17, 1000, 32767, 32768, 32769, 65535, 65536, 65537, 300_000] {
        for bytes in [dice.bytes(size), dice.text(size), vec![0; size]] {
            for codec in CODECS {
                let packed = packed(codec, codec.default_level(), &bytes);
                assert_eq!(unpacked(codec, &packed, size).as_ref(), Ok(&bytes), "{codec} {size}");
                if size > 0 {
                    let error = Err(CodecError::TooLarge { limit: size - 1 });
                    assert_eq!(unpacked(codec, &packed, size - 1), error, "{codec} {size}");
                }
            }
        }
    }
}

#[test]
fn levels_beyond_the_range_are_moved_into_it() {
    let bytes = Dice::new(2).text(50_000);
    for codec in COMPRESSING {
        for level in [i32::MIN, -7, -1, 0, 1, 9, 22, i32::MAX] {
            assert_eq!(unpacked(codec, &packed(codec, level, &bytes), 50_000).as_ref(), Ok(&bytes), "{codec} {level}");
        }
    }
}

#[test]
fn one_scratch_serves_all_codecs_in_any_order_also_after_errors() {
    let (mut dice, mut scratch) = (Dice::new(3), Scratch::new());
    for _ in 0..300 {
        let (codec, size) = (COMPRESSING[dice.below(4)], dice.below(100_000));
        let bytes = dice.text(size);
        let (mut packed, mut out) = (Vec::new(), Vec::new());
        compress(codec, codec.default_level(), &bytes, &mut scratch, &mut packed);
        if dice.below(3) == 0 {
            let cut = dice.below(packed.len());
            assert!(decompress(codec, &packed[..cut], size, &mut scratch, &mut out).is_err(), "{codec} {size} {cut}");
        } else {
            decompress(codec, &packed, size, &mut scratch, &mut out).unwrap();
            assert_eq!(out, bytes);
        }
    }
}

#[test]
fn raw_snappy_is_read_and_its_declared_size_not_believed() {
    let bytes = Dice::new(4).text(200_000);
    let raw = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
    assert_eq!(unpacked(Codec::Snappy, &raw, 200_000).as_ref(), Ok(&bytes));
    assert_eq!(unpacked(Codec::Snappy, &raw, 199_999), Err(CodecError::TooLarge { limit: 199_999 }));
    // Four gigabytes declared by nine bytes.
    let lie = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, b'a', 0, 0];
    assert_eq!(unpacked(Codec::Snappy, &lie, usize::MAX), Err(CodecError::Corrupt(Codec::Snappy)));
    assert_eq!(unpacked(Codec::Snappy, &[], 10), Ok(vec![]));
}

#[test]
fn xerial_streams_one_behind_the_other_are_one() {
    let (a, b) = (Dice::new(5).text(70_000), Dice::new(6).text(10));
    let both = [packed(Codec::Snappy, 0, &a), packed(Codec::Snappy, 0, &b)].concat();
    assert_eq!(unpacked(Codec::Snappy, &both, 1 << 20), Ok([a, b].concat()));
    for (index, value) in [(11, 0), (16, 0x80), (16, 0x7f)] {
        let mut damaged = both.clone();
        damaged[index] = value;
        assert!(unpacked(Codec::Snappy, &damaged, 1 << 20).is_err());
    }
}

#[test]
fn gzip_members_one_behind_the_other_are_one_and_headers_may_be_long() {
    let (a, b) = (Dice::new(7).text(70_000), Dice::new(8).text(10));
    let (first, second) = (packed(Codec::Gzip, -1, &a), packed(Codec::Gzip, 9, &b));
    let nothing = packed(Codec::Gzip, 1, &[]);
    let all = [&first[..], &nothing, &second].concat();
    let expected = [a, b].concat();
    assert_eq!(unpacked(Codec::Gzip, &all, 1 << 20).as_ref(), Ok(&expected));
    assert_eq!(unpacked(Codec::Gzip, &[&all[..], b"what is this"].concat(), 1 << 20), Ok(expected));

    let mut named = second[..10].to_vec();
    named[3] = 0b1_1110;
    named.extend_from_slice(&[3, 0, 1, 2, 3]);
    named.extend_from_slice(b"name\0comment\0");
    let mut crc = flate2::Crc::new();
    crc.update(&named);
    named.extend_from_slice(&(crc.sum() as u16).to_le_bytes());
    named.extend_from_slice(&second[10..]);
    assert_eq!(unpacked(Codec::Gzip, &named, 100).unwrap(), Dice::new(8).text(10));
    named[12] ^= 1;
    assert_eq!(unpacked(Codec::Gzip, &named, 100), Err(CodecError::Corrupt(Codec::Gzip)));
}

#[test]
fn checksums_of_gzip_are_compared() {
    let good = packed(Codec::Gzip, -1, b"some words, some words");
    for index in good.len() - 8..good.len() {
        let mut damaged = good.clone();
        damaged[index] ^= 1;
        assert_eq!(unpacked(Codec::Gzip, &damaged, 100), Err(CodecError::Corrupt(Codec::Gzip)));
    }
}

/// An LZ4 frame by lz4_flex's own writer, whose options other clients use.
fn lz4_frame(info: lz4_flex::frame::FrameInfo, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn lz4_frames_of_other_writers_are_read() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameInfo};
    let bytes = [Dice::new(9).text(1_000_000), Dice::new(10).bytes(1_000_000)].concat();
    for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
        for checksums in [false, true] {
            let info = FrameInfo::new().block_size(size).block_checksums(checksums).content_checksum(checksums);
            let info = info.content_size(checksums.then_some(bytes.len() as u64));
            let frame = lz4_frame(info.clone(), &bytes);
            assert!(unpacked(Codec::Lz4, &frame, bytes.len()).is_ok_and(|out| out == bytes));
            let error = Err(CodecError::TooLarge { limit: 1_999_998 });
            assert_eq!(unpacked(Codec::Lz4, &frame, 1_999_998), error);
            let behind = [&frame[..], b"ignored, as Java ignores it"].concat();
            assert!(unpacked(Codec::Lz4, &behind, bytes.len()).is_ok());

            let linked = lz4_frame(info.block_mode(BlockMode::Linked), &bytes);
            assert_eq!(unpacked(Codec::Lz4, &linked, bytes.len()), Err(CodecError::Corrupt(Codec::Lz4)));
        }
    }
}

#[test]
fn lz4_frames_of_ours_are_read_by_others() {
    for bytes in [Dice::new(11).text(200_000), Dice::new(12).bytes(200_000), Vec::new()] {
        let (frame, mut out) = (packed(Codec::Lz4, 9, &bytes), Vec::new());
        std::io::Read::read_to_end(&mut lz4_flex::frame::FrameDecoder::new(&frame[..]), &mut out).unwrap();
        assert_eq!(out, bytes);
    }
}

#[test]
fn lz4_checksums_are_compared() {
    use lz4_flex::frame::FrameInfo;
    let frame = lz4_frame(FrameInfo::new().block_checksums(true), b"some words, some words, some words, some words");
    // Flags, block size, header checksum, block size, block, block checksum: all but the end mark.
    for index in 4..frame.len() - 4 {
        let mut damaged = frame.clone();
        damaged[index] ^= 1;
        assert!(unpacked(Codec::Lz4, &damaged, 1000).is_err(), "byte {index}");
    }
}

#[test]
fn zstd_frames_one_behind_the_other_are_one_and_windows_have_a_bound() {
    let (a, b) = (Dice::new(13).text(70_000), Dice::new(14).text(10));
    let skipped = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let both = [&packed(Codec::Zstd, 3, &a)[..], &skipped, &packed(Codec::Zstd, -3, &b)].concat();
    assert_eq!(unpacked(Codec::Zstd, &both, 1 << 20), Ok([a, b].concat()));
    assert_eq!(unpacked(Codec::Zstd, &[], 10), Err(CodecError::Corrupt(Codec::Zstd)));

    // A frame with the window descriptor, one last block of raw bytes "abc".
    let frame = |log: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 0x19, 0, 0, b'a', b'b', b'c'];
    for log in [10, 20, 27] {
        assert_eq!(unpacked(Codec::Zstd, &frame(log), 10).unwrap(), b"abc");
    }
    for log in [28, 31, 41] {
        assert_eq!(unpacked(Codec::Zstd, &frame(log), 10), Err(CodecError::Corrupt(Codec::Zstd)));
    }
}

#[test]
fn a_large_window_is_not_kept() {
    let mut scratch = Scratch::new();
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3, 0x19, 0, 0, b'a', b'b', b'c'];
    let mut out = Vec::new();
    decompress(Codec::Zstd, &frame, 10, &mut scratch, &mut out).unwrap();
    assert!(scratch.contexts_bytes() < 1 << 20);
}

#[test]
fn cut_data_are_errors_and_damaged_data_bounded() {
    let mut dice = Dice::new(15);
    let bytes = dice.text(3000);
    for codec in COMPRESSING {
        let good = packed(codec, codec.default_level(), &bytes);
        for cut in 0..good.len() {
            let result = unpacked(codec, &good[..cut], 3000);
            // Without header and without blocks, xerial and raw snappy are both empty.
            let nothing = codec == Codec::Snappy && (cut == 0 || cut == 16);
            assert!(if nothing { result == Ok(vec![]) } else { result.is_err() }, "{codec} cut at {cut}: {result:?}");
        }
        for _ in 0..3000 {
            let mut damaged = good.clone();
            for _ in 0..=dice.below(4) {
                let at = dice.below(damaged.len());
                damaged[at] = dice.next() as u8;
            }
            assert!(unpacked(codec, &damaged, 4000).map_or(true, |out| out.len() <= 4000));
        }
    }
}

#[test]
fn noise_is_refused_or_bounded() {
    let mut dice = Dice::new(16);
    let starts: [&[u8]; 6] = [
        &[],
        &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff],
        &[0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
        &[0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82],
        &[0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73, 0x20, 0, 0, 0],
        &[0x28, 0xb5, 0x2f, 0xfd, 0x04],
    ];
    for codec in COMPRESSING {
        for _ in 0..4000 {
            let size = dice.below(300);
            let noise = [starts[dice.below(starts.len())], &dice.bytes(size)].concat();
            assert!(unpacked(codec, &noise, 1000).map_or(true, |out| out.len() <= 1000));
        }
    }
}
