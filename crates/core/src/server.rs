//! The server as an aggregate: its administrators, and the code by which the first becomes one.

use minicbor::{Decode, Encode};

use crate::access;
use crate::aggregate::Step;
use crate::event::{Draft, Event, Fact};
use crate::hash::Hash;
use crate::ids::{Time, UserId};
use crate::limits::{ADMINISTRATORS_MAX, FIRST_CODE_MS};
use crate::refusal::Refusal;

/// What can be asked of the server's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a code for the first administrator; an earlier one is void. Asked by the server's
    /// own operator, not through the protocol.
    MakeFirstCode {
        /// Hash of the code.
        code: Hash,
    },
    /// Become an administrator by the code.
    RedeemFirstCode {
        /// Hash of the code.
        code: Hash,
    },
    /// Make or unmake an administrator.
    SetAdministrator {
        /// Whom.
        user: UserId,
        /// Make (true) or unmake.
        administrator: bool,
    },
}

/// The state of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Server {
    /// At most 100.
    #[n(0)]
    pub administrators: Vec<UserId>,
    /// The code that is valid, and until when; void as soon as anybody becomes an administrator.
    #[n(1)]
    pub code: Option<(Hash, Time)>,
}

/// Decides.
pub(crate) fn step(state: &Server, user: Option<UserId>, now: Time, action: &Action) -> Result<Step, Refusal> {
    match action {
        Action::MakeFirstCode { code } => Ok(Step::one(Draft::of(Fact::FirstCodeMade { code: *code, expires: now + FIRST_CODE_MS }))),
        Action::RedeemFirstCode { code } => {
            let user = user.ok_or(Refusal::CodeInvalid)?;
            match state.code {
                Some((valid, expires)) if valid == *code && now < expires => Ok(Step::one(Draft::of(Fact::AdministratorAdded { user }))),
                _ => Err(Refusal::CodeInvalid),
            }
        }
        Action::SetAdministrator { user: other, administrator } => {
            access::administer(state, user)?;
            let is = state.administrators.contains(other);
            match (is, administrator) {
                (true, true) | (false, false) => Ok(Step::nothing()),
                (false, true) if state.administrators.len() >= ADMINISTRATORS_MAX => {
                    Err(Refusal::TooManyAdministrators(ADMINISTRATORS_MAX as u32))
                }
                (false, true) => Ok(Step::one(Draft::of(Fact::AdministratorAdded { user: *other }))),
                (true, false) if state.administrators.len() == 1 => Err(Refusal::LastAdministrator),
                (true, false) => Ok(Step::one(Draft::of(Fact::AdministratorRemoved { user: *other }))),
            }
        }
    }
}

/// Brings the state forward.
pub(crate) fn fold(state: &mut Server, event: &Event) {
    match &event.envelope.fact {
        Fact::FirstCodeMade { code, expires } => state.code = Some((*code, *expires)),
        Fact::AdministratorAdded { user } => {
            state.code = None;
            // Who is one already may redeem a code as well.
            if !state.administrators.contains(user) {
                state.administrators.push(*user);
            }
        }
        Fact::AdministratorRemoved { user } => state.administrators.retain(|u| u != user),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: usize) -> UserId {
        UserId([n as u8; 16])
    }

    #[test]
    fn r15_the_first_code_is_valid_for_a_day() {
        let code = Hash([1; 32]);
        let made = step(&Server::default(), None, 1_000, &Action::MakeFirstCode { code }).unwrap();
        let [Draft { fact: Fact::FirstCodeMade { expires, .. }, .. }] = made.events.as_slice() else { panic!("{made:?}") };
        assert_eq!(*expires, 1_000 + FIRST_CODE_MS);
        let server = Server { administrators: Vec::new(), code: Some((code, *expires)) };
        let redeem = |now| step(&server, Some(user(1)), now, &Action::RedeemFirstCode { code }).map(|step| step.events.len());
        assert_eq!((redeem(expires - 1), redeem(*expires)), (Ok(1), Err(Refusal::CodeInvalid)));
    }

    #[test]
    fn a_server_has_so_many_administrators() {
        let add = |administrators: usize, user: UserId| {
            let server = Server { administrators: (0..administrators).map(self::user).collect(), code: None };
            step(&server, Some(self::user(0)), 0, &Action::SetAdministrator { user, administrator: true }).map(|step| step.events.len())
        };
        assert_eq!(add(ADMINISTRATORS_MAX - 1, user(200)), Ok(1));
        assert_eq!(add(ADMINISTRATORS_MAX, user(200)), Err(Refusal::TooManyAdministrators(ADMINISTRATORS_MAX as u32)));
        assert_eq!(add(ADMINISTRATORS_MAX, user(7)), Ok(0), "who is one already takes no place");
    }
}
