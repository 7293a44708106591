//! The attacks at every route of a server, on PostgreSQL.

use std::sync::Arc;

use super::support::{empty_database, run, store_at};
use crate::site::{Site, attack};

macro_rules! attacks {
    ($($name:ident)*) => {
        $(#[test] fn $name() {
            run(async {
                let store = store_at(&empty_database().await).await;
                attack::$name(&Site::over(Arc::new(store)).await).await;
            });
        })*
    };
}

attacks! { without_the_right_token sent_again path_tricks header_floods slow_bodies }
