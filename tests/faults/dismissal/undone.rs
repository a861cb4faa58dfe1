//! A dismissal that somebody undoes at GitHub before anybody here could say that it was made.

use super::*;

#[tokio::test]
async fn fault_11_a_dismissal_undone_before_recording_has_an_unknown_effect() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let key = dismissed_and_not_settled(&scene).await;
    scene.opened_again(14).await;
    let saved = save(&scene.ada, &json!({"enabled": false})).await;
    assert_eq!(saved.status, StatusCode::OK, "{}", saved.body);
    scene.deliver_again(&key).await;
    let ended = scene.ada.ends_as(key.id, "CONFIG_DISABLED").await;
    assert_eq!(
        (&ended["attempts"], &ended["effect"]),
        (&json!(2), &json!("unknown"))
    );
    assert_eq!(scene.changes(14).await, [200], "and not done again");
    assert_eq!(scene.finding(14).await["status"], "open");
    scene.holds().await;
}
