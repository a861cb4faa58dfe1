//! A dismissal that somebody undoes on GitHub before the worker could record it.

use super::*;

#[tokio::test]
async fn fault_11_a_dismissal_undone_before_recording_has_an_unknown_effect() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let key = dismissed_but_not_settled(&scene).await;
    scene.reopen(14).await;
    let saved = save(&scene.ada, &json!({"enabled": false})).await;
    assert_eq!(saved.status, StatusCode::OK, "{}", saved.body);
    scene.redeliver(&key).await;
    let ended = scene.ada.ends_as(key.id, "CONFIG_DISABLED").await;
    assert_eq!(
        (&ended["attempts"], &ended["effect"]),
        (&json!(2), &json!("unknown"))
    );
    assert_eq!(scene.changes(14).await, [200], "not dismissed again");
    assert_eq!(scene.finding(14).await["status"], "open");
    scene.holds().await;
}
