//! The thread that finds out, after a membership has ended, who of those who watch each other's
//! presence still share a conversation (rules P-6, P16). It reads the lists of all of them, which
//! neither the committer nor the keeper has time for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chirrup_core::aggregate::AggregateId;
use chirrup_core::event::Fact;
use chirrup_core::ids::UserId;
use chirrup_core::presence::Doubt;
use chirrup_engine::batch::Published;
use chirrup_engine::presence;
use chirrup_store::kv::ReadError;

use super::{Shared, lock};

/// How long the thread sleeps if nobody rings; what could not be read is tried again then.
const PATIENCE: Duration = Duration::from_secs(1);

/// Puts in doubt what stood on memberships that have ended, as the lists of their users say.
pub(super) fn published(shared: &Shared, published: &[Published]) {
    let ended = published.iter().filter_map(|event| match (&event.aggregate, &event.event.envelope.fact) {
        (AggregateId::User(user), Fact::ConversationRemoved { .. }) => Some(*user),
        _ => None,
    });
    let ended: Vec<UserId> = ended.collect();
    if ended.is_empty() {
        return;
    }
    let mut presence = lock(&shared.presence);
    let doubts = ended.into_iter().filter(|user| presence.membership_ended(*user)).count();
    if doubts > 0 {
        shared.doubts.ring();
    }
}

/// Runs until the machine stops.
pub(super) fn run(shared: &Arc<Shared>) {
    while !shared.stopping.load(Ordering::Acquire) {
        shared.doubts.wait(PATIENCE);
        while let Some(doubt) = take(shared) {
            if let Err(error) = settle(shared, &doubt) {
                tracing::error!(%error, "who shares a conversation cannot be read; it is tried again");
                lock(&shared.presence).doubt(doubt.user);
                break;
            }
        }
    }
}

fn take(shared: &Shared) -> Option<Doubt> {
    lock(&shared.presence).take_doubt()
}

fn settle(shared: &Shared, doubt: &Doubt) -> Result<(), ReadError> {
    let acquainted = shared.views.acquainted(&shared.key, doubt.user, &doubt.others)?;
    let strangers: Vec<UserId> = doubt.others.iter().copied().filter(|other| !acquainted.contains(other)).collect();
    let mut presence = lock(&shared.presence);
    presence.part(doubt, &strangers);
    presence::tell(&mut presence, &mut lock(&shared.router));
    Ok(())
}
