//! The embedded broker and its data API from outside: who gets in, what they may do, and what they get. The tests of certificates, topics and
//! sessions are the table of the experiment that chose how the broker is built, row by row.
#![allow(clippy::unwrap_used, missing_docs)]

mod certificates;
mod hostile;
mod rest;
mod services;
mod sessions;
mod shadows;
mod site;
mod topics;
mod wills;
