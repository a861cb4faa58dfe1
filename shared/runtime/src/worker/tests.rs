use super::*;

#[test]
fn the_redelivery_backoff_grows_with_each_failure_and_is_jittered() {
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
        let (least, most) = least.zip(most).expect("there are 100 pauses");
        assert!(
            base <= *least && *most < base + base / 4,
            "{receives}: {least} to {most}"
        );
        assert!(most - least > base / 16, "{receives}: {least} to {most}");
    }
}
