//! Passwords: what is taken as one, and argon2id, computed few at a time because each hash takes
//! 19 MiB and tens of milliseconds, on threads of its own: on many, each would keep that memory.
//!
//! Must not know: whose a password is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use chirrup_protocol::error::{Code, Error};
use chirrup_protocol::limits::{PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN};
use tokio::sync::{Semaphore, oneshot};

use crate::edge;
use crate::limits::{HASH_WAIT_MS, HASHES_WAITING_MAX};

/// Memory of a hash, in KiB; with time cost 2 and one lane this is the least that OWASP advises.
const MEMORY_KIB: u32 = 19 * 1_024;
const TIME_COST: u32 = 2;
const LANES: u32 = 1;

/// Passwords that are guessed first, one a line, in lower case.
const COMMON: &str = include_str!("common_passwords.txt");

/// Refuses what is too short, too long, too common, or the account's own name.
pub fn check(password: &str, name: &str) -> Result<(), Error> {
    let refused = |why: String| Err(Error::new(Code::PasswordRefused, why));
    // Cheap first: a password of megabytes is not counted.
    if password.len() > PASSWORD_CHARS_MAX * 4 || password.chars().count() > PASSWORD_CHARS_MAX {
        return refused(format!("the password is too long: at most {PASSWORD_CHARS_MAX} characters"));
    }
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return refused(format!("the password is too short: at least {PASSWORD_CHARS_MIN} characters"));
    }
    let lower = password.to_lowercase();
    let mut characters = lower.chars();
    let first = characters.next();
    if lower == name.to_lowercase() || characters.all(|c| Some(c) == first) || COMMON.lines().any(|common| common == lower) {
        return refused("the password is one of those that are guessed first".to_owned());
    }
    Ok(())
}

/// How a password compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compared {
    /// It is the one.
    Right {
        /// The hash was made with other costs: store this one instead.
        rehashed: Option<String>,
    },
    /// It is not.
    Wrong,
}

type Work = Box<dyn FnOnce() + Send>;

/// Hashes passwords, each when its turn comes.
pub struct Passwords {
    turns: Arc<Semaphore>,
    waiting: Semaphore,
    argon: Argon2<'static>,
    /// To the threads, which end when this is dropped.
    work: SyncSender<Work>,
    /// Of no password: compared with when there is no account, so that this takes as long.
    nobody: String,
}

impl Passwords {
    /// So many hashes at once.
    pub fn new(at_once: usize) -> Self {
        let params = Params::new(MEMORY_KIB, TIME_COST, LANES, None).expect("the costs are within argon2's bounds");
        Self::with(params, at_once)
    }

    fn with(params: Params, at_once: usize) -> Self {
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = hash(&argon, &edge::random::<32>());
        let (work, waiting) = sync_channel(at_once);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..at_once {
            let waiting = Arc::clone(&waiting);
            std::thread::Builder::new().name("passwords".to_owned()).spawn(move || run(&waiting)).expect("the system can start a thread");
        }
        let turns = Arc::new(Semaphore::new(at_once));
        Self { turns, waiting: Semaphore::new(HASHES_WAITING_MAX), argon, work, nobody }
    }

    /// The PHC string of a password, with a salt of its own. `busy` if its turn does not come.
    pub async fn hash(&self, password: String) -> Result<String, Error> {
        self.in_turn(move |argon| hash(argon, password.as_bytes())).await
    }

    /// Compares a password with a PHC string; without one it takes as long and is wrong.
    pub async fn compare(&self, password: String, stored: Option<String>) -> Result<Compared, Error> {
        let exists = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.nobody.clone());
        self.in_turn(move |argon| {
            // The costs are those of the stored hash, the comparison takes constant time.
            if argon.verify_password(password.as_bytes(), stored.as_str()).is_err() || !exists {
                return Compared::Wrong;
            }
            let current = PasswordHash::new(&stored).is_ok_and(|phc| is_current(argon, &phc));
            Compared::Right { rehashed: (!current).then(|| hash(argon, password.as_bytes())) }
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce(&Argon2<'static>) -> T + Send + 'static) -> Result<T, Error> {
        let busy = || Error::new(Code::Busy, "too many people log in at once");
        let waiting = self.waiting.try_acquire().map_err(|_| busy())?;
        let turn = tokio::time::timeout(Duration::from_millis(HASH_WAIT_MS), Arc::clone(&self.turns).acquire_owned()).await;
        drop(waiting);
        // The turn goes with the work: a client that went away does not free it before.
        let turn = turn.ok().and_then(Result::ok).ok_or_else(busy)?;
        let (argon, (told, worked)) = (self.argon.clone(), oneshot::channel());
        let work: Work = Box::new(move || {
            let result = work(&argon);
            drop(turn);
            // Whoever asked may have gone.
            let _ = told.send(result);
        });
        let lost = || Error::new(Code::Internal, "the password could not be looked at");
        // Who has a turn finds room.
        self.work.try_send(work).map_err(|_| lost())?;
        worked.await.map_err(|_| lost())
    }
}

/// Works until nobody can ask any more.
fn run(waiting: &Mutex<Receiver<Work>>) {
    loop {
        let work = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = work else { return };
        // Whoever asked is told by the end of their channel.
        let _ = catch_unwind(AssertUnwindSafe(work));
    }
}

fn hash(argon: &Argon2<'_>, password: &[u8]) -> String {
    let salt: [u8; 16] = edge::random();
    argon.hash_password_with_salt(password, &salt).expect("a salt of 16 bytes and these costs are within argon2's bounds").to_string()
}

fn is_current(argon: &Argon2<'_>, phc: &PasswordHash) -> bool {
    Params::try_from(phc).is_ok_and(|params| {
        let ours = argon.params();
        (params.m_cost(), params.t_cost(), params.p_cost()) == (ours.m_cost(), ours.t_cost(), ours.p_cost())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap(memory_kib: u32) -> Passwords {
        Passwords::with(Params::new(memory_kib, 1, 1, None).expect("valid"), 1)
    }

    #[tokio::test]
    async fn a_password_compares_with_its_own_hash_only() {
        let passwords = cheap(64);
        let stored = passwords.hash("a long secret".to_owned()).await.expect("hashed");
        assert!(stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{stored}");
        let compare = |password: &str, stored: Option<&String>| passwords.compare(password.to_owned(), stored.cloned());
        assert_eq!(compare("a long secret", Some(&stored)).await, Ok(Compared::Right { rehashed: None }));
        assert_eq!(compare("another secret", Some(&stored)).await, Ok(Compared::Wrong));
        assert_eq!(compare("a long secret", None).await, Ok(Compared::Wrong));
        assert_eq!(compare("a long secret", Some(&"not a hash".to_owned())).await, Ok(Compared::Wrong));
        assert_ne!(passwords.hash("a long secret".to_owned()).await.expect("hashed"), stored, "salted");
    }

    #[tokio::test]
    async fn other_costs_give_another_hash_to_store() {
        let stored = cheap(64).hash("a long secret".to_owned()).await.expect("hashed");
        let now = cheap(128);
        let Ok(Compared::Right { rehashed: Some(again) }) = now.compare("a long secret".to_owned(), Some(stored)).await else {
            panic!("right, and to be stored again");
        };
        assert_eq!(now.compare("a long secret".to_owned(), Some(again)).await, Ok(Compared::Right { rehashed: None }));
    }

    #[tokio::test]
    async fn too_many_at_once_are_refused_as_busy() {
        let passwords = cheap(64);
        let all = passwords.waiting.try_acquire_many(HASHES_WAITING_MAX as u32).expect("all places");
        let error = passwords.hash("a long secret".to_owned()).await.expect_err("no place to wait");
        assert_eq!(error.code, Code::Busy);
        drop(all);
        passwords.hash("a long secret".to_owned()).await.expect("a place");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let passwords = cheap(64);
        let _turn = Arc::clone(&passwords.turns).acquire_owned().await.expect("free");
        assert_eq!(passwords.hash("a long secret".to_owned()).await.expect_err("no turn").code, Code::Busy);
    }

    #[test]
    fn the_costs_are_those_promised() {
        let passwords = Passwords::new(1);
        assert!(passwords.nobody.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", passwords.nobody);
    }

    #[test]
    fn weak_passwords_are_refused() {
        let name = "somebody.new";
        for weak in ["short", "1234567", "PassWord123", "zzzzzzzzzzz", "Somebody.New", "qwertyuiop", &"x y".repeat(43)] {
            assert_eq!(check(weak, name).map_err(|e| e.code), Err(Code::PasswordRefused), "{weak}");
        }
        for good in ["correct horse", "ünïcödé!", &"x y ".repeat(32)] {
            assert_eq!(check(good, name), Ok(()), "{good}");
        }
    }

    #[test]
    fn the_common_ones_are_long_enough_to_matter() {
        assert!(COMMON.lines().count() > 300);
        for common in COMMON.lines() {
            assert!(common.len() >= PASSWORD_CHARS_MIN && common.to_lowercase() == common, "{common}");
        }
    }
}
