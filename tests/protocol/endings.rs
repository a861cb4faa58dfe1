//! Whether steps can form a cycle.

use std::collections::HashMap;

use stateright::Model as _;

use crate::{
    canonical::hashed,
    protocol::Protocol,
    scene::{Lack, Scene},
    world::World,
};

/// Returns a state that its own successors lead back to, if there is one.
pub(crate) fn cycle(scene: Scene) -> Option<World> {
    let protocol = Protocol::new(scene, Lack::Nothing);
    // Whether all successors of a state are explored.
    let mut known = HashMap::new();
    for world in protocol.init_states() {
        // The current path: each state with its unexplored successors.
        let mut way = vec![enter(&protocol, &world, &mut known)];
        while let Some((here, left)) = way.last_mut() {
            let Some(next) = left.pop() else {
                known.insert(*here, true);
                way.pop();
                continue;
            };
            match known.get(&hashed(&next)) {
                Some(true) => {}
                Some(false) => return Some(next),
                None => way.push(enter(&protocol, &next, &mut known)),
            }
        }
    }
    None
}

fn enter(protocol: &Protocol, world: &World, known: &mut HashMap<u64, bool>) -> (u64, Vec<World>) {
    let here = hashed(world);
    known.insert(here, false);
    (here, protocol.next_states(world))
}
