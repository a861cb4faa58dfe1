//! Whose change an alert shows, of two commands that asked for the same.

use super::*;
use crate::samples::noon;

#[test]
fn a_change_is_anothers_if_the_finding_names_it_and_nothing_came_since() {
    let [mine, another] = [(); 2].map(|()| CommandId::new(noon(0)));
    let of_another = |named, made_at| is_another_commands(named, mine, noon(10), made_at);
    for made_at in [None, Some(noon(9)), Some(noon(10))] {
        assert!(of_another(Some(another), made_at), "{made_at:?}");
    }
    let undone_meanwhile = Some(noon(11));
    assert!(!of_another(Some(another), undone_meanwhile));
    for made_at in [None, Some(noon(9)), undone_meanwhile] {
        assert!(!of_another(Some(mine), made_at));
        assert!(!of_another(None, made_at));
    }
}
