//! What an event means for other aggregates. Pure, so that whoever reads the log again sends
//! the same.

use crate::aggregate::{Action, AggregateId};
use crate::event::{Event, Fact};
use crate::ids::UserId;
use crate::visibility::Intervals;
use crate::{name, names, user};

/// Effects of an event: (target, action), in order; the place in this list is the effect's `n`.
pub fn effects(aggregate: &AggregateId, event: &Event) -> Vec<(AggregateId, Action)> {
    let membership = |user: UserId, joined: bool, visible: &Intervals| {
        let conversation = aggregate.conversation()?;
        let action = user::Action::SetMembership { conversation, joined, visible: visible.clone() };
        Some((AggregateId::User(user), Action::User(action)))
    };
    match &event.envelope.fact {
        Fact::ConversationCreated { members, .. } => {
            members.iter().filter_map(|user| membership(*user, true, &Intervals::everything())).collect()
        }
        Fact::MemberAdded { user, visible, .. } => membership(*user, true, visible).into_iter().collect(),
        Fact::MemberRemoved { user, visible, .. } => membership(*user, false, visible).into_iter().collect(),
        Fact::NameClaimed { user, name, display_name } => {
            let action = user::Action::Create { name: name.clone(), display_name: display_name.clone() };
            vec![(AggregateId::User(*user), Action::User(action))]
        }
        Fact::UserCreated { name } => vec![(AggregateId::Name(names::fold(name)), Action::Name(name::Action::Confirm))],
        _ => Vec::new(),
    }
}
