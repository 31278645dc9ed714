//! The limits of what can be asked, each in this one place. The protocol tells them to clients.

/// Characters of a message.
pub const TEXT_CHARS_MAX: usize = 8_192;
/// Bytes of a message.
pub const TEXT_BYTES_MAX: usize = 32_768;
/// Members that one message calls.
pub const MENTIONS_MAX: usize = 50;
/// Bytes of an emoji (the longest of Unicode 16 has 35).
pub const EMOJI_BYTES_MAX: usize = 64;
/// Different emoji under one message.
pub const REACTIONS_MAX: usize = 50;
/// Users named under one emoji; more are only counted.
pub const REACTION_USERS_MAX: usize = 50;
/// Edits of one message.
pub const EDITS_MAX: usize = 100;
/// Members of a group.
pub const MEMBERS_MAX: u32 = 10_000;
/// Members that one command names.
pub const MEMBERS_AT_ONCE_MAX: usize = 100;
/// Characters of a title, display name or device label.
pub const TITLE_CHARS_MAX: usize = 128;
/// Characters of a name.
pub const NAME_CHARS_MAX: usize = 32;
/// Devices of a user.
pub const DEVICES_MAX: usize = 50;
/// Administrators of a server.
pub const ADMINISTRATORS_MAX: usize = 100;
/// How long the first administrator's code is valid, milliseconds.
pub const FIRST_CODE_MS: u64 = 24 * 60 * 60 * 1_000;
