//! Rules that can be broken on purpose, and points at which a server can die on purpose: what the
//! tests must notice, and what a restart must survive.
//!
//! In the product's code a mutant is one line at the place of its rule, `if mutant!(AckBeforeSync)`,
//! and a point is one line too, `kill_point!(LogSynced)`. Without the feature `mutants` the one is
//! `false` and the other is no code at all; the names are checked either way.
//!
//! Cargo unites the features of all packages that one command builds, so a package that switched
//! this one on for itself would switch it on for `chirrup` too. Therefore:
//!
//! - Only `crates/mutant-server` (the binary `chirrup-mutant`) turns it on, and only by a feature of
//!   its own which that binary requires: `cargo build --workspace` and `cargo test --workspace` leave
//!   the binary out and the feature off.
//! - `cargo build --package chirrup-mutant --features mutants` makes it, in the same target directory:
//!   only the crates with such lines in them, and those above, are compiled a second time.
//! - A build without debug assertions, as every release is, does not compile with the feature; and
//!   `chirrup` does not compile with it in any build ([`ENABLED`]).
//!
//! Must not know: what the rules mean, and who reads the environment.

#[cfg(feature = "mutants")]
mod chosen;
mod names;

#[cfg(feature = "mutants")]
pub use chosen::{choose, is_broken, kills};
pub use names::{KillAt, Mutant, NotAKillAt, NotANumber, Point, UnknownName};

#[cfg(all(feature = "mutants", not(debug_assertions)))]
compile_error!("a release must not have the feature `mutants`: build `chirrup-mutant` in the profile `dev`");

/// Whether rules can be broken in this build.
pub const ENABLED: bool = cfg!(feature = "mutants");

/// Whether this rule, a variant of [`Mutant`], is broken. `false` in every build but the mutants' own.
#[cfg(feature = "mutants")]
#[macro_export]
macro_rules! mutant {
    ($rule:ident) => {
        $crate::is_broken($crate::Mutant::$rule)
    };
}

/// Whether this rule, a variant of [`Mutant`], is broken. `false` in every build but the mutants' own.
#[cfg(not(feature = "mutants"))]
#[macro_export]
macro_rules! mutant {
    ($rule:ident) => {{
        const _: $crate::Mutant = $crate::Mutant::$rule;
        false
    }};
}

/// Dies here, as by kill -9, if this pass of this [`Point`] was asked for; `$last` is done just before.
#[cfg(feature = "mutants")]
#[macro_export]
macro_rules! kill_point {
    ($point:ident $(, $last:expr)?) => {
        if let Some(die) = $crate::kills($crate::Point::$point) {
            $(let _ = $last;)?
            die();
        }
    };
}

/// Dies here, as by kill -9, if this pass of this [`Point`] was asked for; `$last` is done just before.
#[cfg(not(feature = "mutants"))]
#[macro_export]
macro_rules! kill_point {
    ($point:ident $(, $last:expr)?) => {{
        const _: $crate::Point = $crate::Point::$point;
        $(if false {
            let _ = $last;
        })?
    }};
}
