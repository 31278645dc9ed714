//! What an application chooses of the machine's behaviour.

/// Which events the application is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    /// None: for programs that only ask. Nothing is pulled.
    Nothing,
    /// Those that come after what the first `ready` lists; the past is read by `history`.
    #[default]
    FromHead,
    /// All, from the first of each log.
    FromBeginning,
}

/// How the machine behaves.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The device's token; without one there is no session, and only `sign_up` and `log_in` are of use.
    pub token: Option<String>,
    /// Which events are given.
    pub follow: Follow,
    /// Whether the server is told how far messages have reached this device.
    pub receipts: bool,
    /// A connection in the background does not make its user online.
    pub background: bool,
    /// Of the waits between attempts.
    pub seed: u64,
}
