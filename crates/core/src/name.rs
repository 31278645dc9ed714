//! The name: who owns it. One log per folded name, so that two sign-ups cannot both win.

use minicbor::{Decode, Encode};

use crate::aggregate::Step;
use crate::event::{Draft, Event, Fact};
use crate::ids::{Time, UserId};
use crate::refusal::Refusal;
use crate::rows::{RowKey, RowValue};

/// What can be asked of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take it for an account that is to be made; the account follows as an effect.
    Claim {
        /// For whom: made of the name and the client id, so that a retry claims for the same.
        user: UserId,
        /// As its owner writes it.
        name: String,
        /// Shown beside it.
        display_name: String,
        /// PHC string of the password; none for an account that cannot log in.
        credential: Option<String>,
    },
    /// The account exists.
    Confirm,
}

/// The state of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Name {
    /// Whose it is.
    #[n(0)]
    pub owner: Option<UserId>,
    /// Whether the account is known to exist.
    #[n(1)]
    pub confirmed: bool,
}

/// Decides.
pub(crate) fn step(state: &Name, _now: Time, action: &Action) -> Result<Step, Refusal> {
    match action {
        Action::Claim { user, name, display_name, credential } => match state.owner {
            Some(owner) if owner == *user => Ok(Step::nothing()),
            Some(_) => Err(Refusal::NameTaken),
            None => {
                let mut step =
                    Step::one(Draft::of(Fact::NameClaimed { user: *user, name: name.clone(), display_name: display_name.clone() }));
                if let Some(credential) = credential {
                    step.rows.push((RowKey::Credential(*user), Some(RowValue::Credential(credential.clone()))));
                }
                Ok(step)
            }
        },
        Action::Confirm if state.owner.is_some() && !state.confirmed => Ok(Step::one(Draft::of(Fact::NameConfirmed))),
        Action::Confirm => Ok(Step::nothing()),
    }
}

/// Brings the state forward.
pub(crate) fn fold(state: &mut Name, event: &Event) {
    match &event.envelope.fact {
        Fact::NameClaimed { user, .. } => *state = Name { owner: Some(*user), confirmed: false },
        Fact::NameConfirmed => state.confirmed = true,
        _ => {}
    }
}
