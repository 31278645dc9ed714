//! Views over random histories, compared with what is plainly counted and folded from all events.

mod histories;
mod oracle;
mod people;
mod simple;
