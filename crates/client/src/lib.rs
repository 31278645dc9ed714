//! The Rust SDK: a client that reconnects, keeps what it says until it is settled, repairs gaps,
//! and gives its application every event once and in order.
//!
//! ```no_run
//! # async fn example(token: String) -> Result<(), chirrup_client::Error> {
//! use chirrup_client::{Client, ClientEvent, Follow, Options};
//!
//! let mut options = Options::new("127.0.0.1:7420".parse()?, Some(token));
//! options.follow = Follow::FromHead;
//! let (client, mut events) = Client::connect(options)?;
//! while let Some(event) = events.next().await {
//!     if let ClientEvent::Event { conversation, event } = event {
//!         println!("{conversation:?} {event:?}");
//!     }
//! }
//! # drop(client);
//! # Ok(())
//! # }
//! ```
//!
//! Must not know: how a server is made, what is shown and how.

pub mod call;
mod client;
mod edge;
mod error;
pub mod files;
pub mod limits;
pub mod machine;
pub mod outbox_file;
mod socket;
pub mod view;

pub use client::{Client, Events, Options, Saying};
pub use edge::new_client_id;
pub use error::Error;
pub use machine::{ClientEvent, Follow, Resume, Status};
pub use socket::Address;
