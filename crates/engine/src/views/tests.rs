//! Views over random histories, compared with what is plainly counted and folded from all events.

mod checks;
mod counts;
mod group;
mod histories;
mod long;
mod oracle;
mod people;
mod simple;
