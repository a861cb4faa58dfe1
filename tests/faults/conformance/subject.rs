//! What the suite needs from a command type.

use std::time::Duration;

use domain::{
    command::{Action, CommandId, CommandType},
    result_code::ResultCode,
};
use serde_json::Value;

use crate::scene::Scene;

/// How to recognise a worker's write: its operation, and a text that only its request contains.
pub(super) type Write = (&'static str, &'static str);

/// A command type. All commands of a run are for the same effect, so that it can be counted.
pub(super) trait Subject {
    /// The type. [`tests::Consumer`] names its function and its queues.
    const TYPE: CommandType;
    /// The code of its success.
    const SUCCESS: ResultCode;
    /// The write that settles a success.
    const SETTLEMENT: Write;
    /// The worker's other reads and writes. Each fails once.
    const STORE: &'static [Write];
    /// The number of requests upstream if a worker dies between effect and settlement and another one follows.
    const REQUESTS_IF_FOUND_DONE: usize;

    /// Starts a stack on which the command can succeed.
    async fn scene() -> Scene;

    /// The request's body.
    fn request() -> Value;

    /// The same request as an action.
    fn action() -> Action;

    /// The number of requests for the effect.
    async fn requests(scene: &Scene) -> usize;

    /// How often the effect was made: upstream, or in the store if upstream does not change. More than 1 is a failure.
    async fn effects(scene: &Scene) -> usize;

    /// Delays upstream's next answer.
    async fn hold_up(scene: &Scene, time: Duration);

    /// Reports whether that request has reached upstream.
    async fn is_held_up(scene: &Scene) -> bool {
        Self::requests(scene).await > 0
    }

    /// Makes upstream fail without an effect until the faults are cleared.
    async fn fail(scene: &Scene);

    /// Checks the store between effect and settlement.
    async fn is_unsettled(scene: &Scene) {
        let _ = scene;
    }

    /// Checks the store after this command has succeeded.
    async fn has_succeeded(scene: &Scene, id: CommandId);

    /// Checks the store after a command has failed with this code and effect.
    async fn has_failed(scene: &Scene, view: &Value) {
        let _ = (scene, view);
    }

    /// Checks the invariants.
    async fn holds(scene: &Scene) {
        scene.holds().await;
    }
}
