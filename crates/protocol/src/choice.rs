//! Closed sets of choices, as in the core, with their wire names.

use chirrup_core::event::{Form as CoreForm, History as CoreHistory, Leaver as CoreLeaver, Role as CoreRole};
use serde::{Deserialize, Serialize};

macro_rules! mirror {
    ($(#[$doc:meta])* $name:ident = $core:ident { $($(#[$vdoc:meta])* $variant:ident),* } default $default:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),* }

        impl Default for $name {
            fn default() -> Self { Self::$default }
        }
        impl From<$name> for $core {
            fn from(wire: $name) -> Self { match wire { $($name::$variant => $core::$variant),* } }
        }
        impl From<$core> for $name {
            fn from(core: $core) -> Self { match core { $($core::$variant => $name::$variant),* } }
        }
    };
}

mirror! {
    /// What a new member may see of the time before.
    History = CoreHistory { /** Everything. */ Full, /** Nothing. */ FromJoin } default Full
}
mirror! {
    /// What a former member may still see.
    Leaver = CoreLeaver { /** What they could. */ Keeps, /** Nothing. */ Loses } default Keeps
}
mirror! {
    /// What a member may do.
    Role = CoreRole { /** Write, add. */ Member, /** Also remove, rename, delete. */ Owner } default Member
}
mirror! {
    /// Forms of a message.
    Form = CoreForm { /** Said. */ Text, /** Done. */ Action } default Text
}

impl Form {
    /// Whether it is said.
    pub fn is_text(&self) -> bool {
        *self == Self::Text
    }
}
