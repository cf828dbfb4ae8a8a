use proptest::prelude::*;

use super::*;

fn message_of(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn only(tag: u8, body: &[u8]) -> Result<Option<Message>, Broken> {
    next(&mut BytesMut::from(&message_of(tag, body)[..]))
}

#[test]
fn lengths_are_bounded_before_anything_is_kept() {
    for (tag, length, broken) in [
        (b'D', 1 << 30, Broken::Row),
        (b'D', u32::MAX, Broken::Row),
        (b'E', 1 << 30, Broken::Protocol),
        (b'S', 1 << 20, Broken::Protocol),
        (b'Z', 3, Broken::Protocol),
        (b'Z', 0, Broken::Protocol),
        (b'v', 12, Broken::Protocol),
        (0, 4, Broken::Protocol),
    ] {
        let mut buffer = BytesMut::from(&[tag][..]);
        buffer.extend_from_slice(&length.to_be_bytes());
        assert_eq!(next(&mut buffer).unwrap_err(), broken, "{tag} {length}");
        assert!(buffer.capacity() < 1 << 20);
    }
}

#[test]
fn rows_hold_what_they_say() {
    let row = |body: &[u8]| only(b'D', body);
    let Ok(Some(Message::DataRow(good))) = row(b"\0\x02\0\0\0\x01a\xff\xff\xff\xff") else { panic!() };
    assert_eq!(good.fields().collect::<Vec<_>>(), [Some(&b"a"[..]), None]);
    for body in [
        &b""[..],
        b"\0",
        b"\0\x01",
        b"\0\x02\0\0\0\x01a",
        b"\0\x01\0\0\0\x02a",
        b"\0\x01\x7f\xff\xff\xffa",
        b"\0\x01\xff\xff\xff\xfea",
        b"\0\x01\0\0\0\x01ab",
        b"\0\0a",
    ] {
        assert!(matches!(row(body), Err(Broken::Protocol)), "{body:?}");
    }
}

#[test]
fn errors() {
    let body = b"SERROR\0VFATAL\0C57P01\0Mgoing\0Ddetail\0Hhint\0P12\0Fpostgres.c\0\0";
    let Ok(Some(Message::Error(error))) = only(b'E', body) else { panic!() };
    assert_eq!((error.code.as_str(), error.is_fatal, error.position), ("57P01", true, Some(12)));
    assert_eq!((error.message.as_str(), error.detail.as_deref()), ("going", Some("detail")));
    let Ok(Some(Message::Error(error))) = only(b'E', b"C\x1b[2J!\0Mx\0P-1\0\0") else { panic!() };
    assert_eq!((error.code.as_str(), error.position), ("XX000", None));
    assert!(only(b'E', b"Mx\0").is_err());
    assert!(only(b'E', b"Mx\0\0surplus").is_err());
}

#[test]
fn columns_are_counted() {
    let mut body = 1_665_u16.to_be_bytes().to_vec();
    for _ in 0..1_665 {
        body.extend_from_slice(b"a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
    }
    assert!(only(b'T', &body).is_err());
    assert!(only(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0").is_ok());
    // Binary, which nobody asked for.
    assert!(only(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\x01").is_err());
}

#[test]
fn a_text_ends_at_its_first_nul() {
    let mut out = Outgoing::default();
    out.parse("select 1\0; drop table t");
    assert_eq!(out.0, b"P\0\0\0\x10\0select 1\0\0\0");
}

proptest! {
    #[test]
    fn anything_is_a_message_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut buffer = BytesMut::from(&bytes[..]);
        while let Ok(Some(_)) = next(&mut buffer) {}
    }

    #[test]
    fn any_body_of_any_kind(tag in prop::sample::select(b"123ACDEGHIKNRSTZcdnst".to_vec()), body in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = only(tag, &body);
    }

    /// However a stream is cut, the same messages come out.
    #[test]
    fn cuts_do_not_matter(cut in 0_usize..30) {
        let whole = [message_of(b'C', b"SELECT 1\0"), message_of(b'Z', b"I")].concat();
        let cut = cut.min(whole.len());
        let mut buffer = BytesMut::from(&whole[..cut]);
        let mut seen = 0;
        while let Ok(Some(_)) = next(&mut buffer) { seen += 1; }
        buffer.extend_from_slice(&whole[cut..]);
        while let Ok(Some(_)) = next(&mut buffer) { seen += 1; }
        prop_assert_eq!((seen, buffer.len()), (2, 0));
    }
}
