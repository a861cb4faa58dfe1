use super::*;

const NOON: Timestamp = Timestamp::from_millis(1_795_435_200_000);

#[test]
fn statuses_are_read_as_they_are_written() {
    for status in Status::ALL {
        assert_eq!(Status::parse(status.as_str()), Some(status));
    }
    assert_eq!(Status::parse("queued"), None);
    assert!(NOON.as_millis() > 0);
}
