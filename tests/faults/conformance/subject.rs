//! What the suite has to know of a command type.

use std::time::Duration;

use domain::{
    command::{Action, CommandId, CommandType},
    result_code::ResultCode,
};
use serde_json::Value;

use crate::scene::Scene;

/// How a write of a worker is recognised: its operation, and a text that only its request holds.
pub(super) type Write = (&'static str, &'static str);

/// A command type. All commands of a run ask for the same: there is one effect to count.
pub(super) trait Subject {
    /// The type. [`tests::Consumer`] names its function and its queues.
    const TYPE: CommandType;
    /// The code of its success.
    const SUCCESS: ResultCode;
    /// The write that settles a success.
    const SETTLEMENT: Write;
    /// What else the worker reads and writes on its way: each fails once, for a moment.
    const STORE: &'static [Write];
    /// How often upstream is asked in all if a worker dies between the effect and its settlement, and another follows.
    const REQUESTS_IF_FOUND_DONE: usize;

    /// A stack where such a command can succeed.
    async fn scene() -> Scene;

    /// What a client posts.
    fn request() -> Value;

    /// The same as the ledger keeps it.
    fn action() -> Action;

    /// How often upstream was asked for the effect.
    async fn requests(scene: &Scene) -> usize;

    /// How often the effect was made, upstream or, if it changes nothing there, here. Two are one too many.
    async fn effects(scene: &Scene) -> usize;

    /// Has upstream take so long over the next request.
    async fn hold_up(scene: &Scene, time: Duration);

    /// Whether that request has reached upstream.
    async fn is_held_up(scene: &Scene) -> bool {
        Self::requests(scene).await > 0
    }

    /// Has upstream fail, without an effect, until everything heals.
    async fn fail(scene: &Scene);

    /// Checks what is stored while the effect was made and its command is not settled.
    async fn is_unsettled(scene: &Scene) {
        let _ = scene;
    }

    /// Checks what a command of this id leaves behind once it has succeeded.
    async fn has_succeeded(scene: &Scene, id: CommandId);

    /// Checks what a command leaves behind once it has failed so, whoever ended it.
    async fn has_failed(scene: &Scene, view: &Value) {
        let _ = (scene, view);
    }

    /// Checks what always holds.
    async fn holds(scene: &Scene) {
        scene.holds().await;
    }
}
