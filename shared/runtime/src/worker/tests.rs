use super::*;

#[test]
fn a_message_stays_away_for_longer_after_each_failure_and_never_all_at_once() {
    for (receives, base) in [
        (0, 5_000),
        (1, 5_000),
        (2, 15_000),
        (3, 45_000),
        (4, 90_000),
        (5, 90_000),
        (u32::MAX, 90_000),
    ] {
        let pauses = [(); 100].map(|()| backoff(receives).as_millis());
        let (least, most) = (pauses.iter().min(), pauses.iter().max());
        let (least, most) = least.zip(most).expect("a hundred");
        assert!(
            base <= *least && *most < base + base / 4,
            "{receives}: {least} to {most}"
        );
        assert!(most - least > base / 16, "{receives}: {least} to {most}");
    }
}
