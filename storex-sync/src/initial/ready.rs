//! Pages of rows are made ready, one while another one is committed.

use std::pin::pin;

use storex_core::{Collection, Record, Value};

use super::InitialSync;
use super::arriving::ArrivingPage;
use super::fit::{ArrivedRows, Target};
use super::frame::Rows;
use super::hooks::PassingObject;
use super::line::Line;
use super::receive::Receiver;
use super::supply::{Arriving, Content, Supply};
use crate::error::Result;

/// A page of rows that is ready to be committed.
#[derive(Debug)]
pub(super) struct ReadyRows {
    pub(super) collection: usize,
    pub(super) number: u64,
    /// How many were sent.
    pub(super) count: u64,
    /// The key of the last one, as the sender has it.
    pub(super) last: Option<Vec<Value>>,
    pub(super) page: ArrivingPage,
    /// Whether the application has dropped any.
    pub(super) is_sifted: bool,
}

impl Receiver<'_> {
    /// Does the work, and meanwhile takes in what arrives, and makes the next page of rows ready. Nothing is waited for beyond the work.
    pub(super) async fn beside<T>(
        &self,
        work: impl Future<Output = T>,
        line: &mut Line<'_>,
    ) -> (T, Result<Option<ReadyRows>>) {
        let mut work = pin!(work);
        if !line.has_arrived() {
            match line.arrival_or(work.as_mut()).await {
                Ok(None) => {}
                Ok(Some(done)) => return (done, Ok(None)),
                Err(error) => return (work.await, Err(error)),
            }
        }
        let ahead = {
            // What was taken out of the line is not given up.
            let mut ahead = pin!(self.ready_ahead(line));
            tokio::select! {
                biased;
                done = work.as_mut() => return (done, ahead.await),
                ahead = ahead.as_mut() => ahead,
            }
        };
        while ahead.is_ok() {
            match line.arrival_or(work.as_mut()).await {
                Ok(None) => {}
                Ok(Some(done)) => return (done, ahead),
                Err(error) => return (work.await, Err(error)),
            }
        }
        (work.await, ahead)
    }

    /// Makes the page of rows ready that is next, if it is here.
    async fn ready_ahead(&self, line: &mut Line<'_>) -> Result<Option<ReadyRows>> {
        match line.rows_ahead().await? {
            Some(rows) => self.ready(rows).await.map(Some),
            None => Ok(None),
        }
    }

    /// Makes rows ready to be committed.
    pub(super) async fn ready(&self, rows: Rows) -> Result<ReadyRows> {
        let target = self.find(rows.collection)?;
        let (count, mut is_sifted) = (rows.rows.len() as u64, false);
        let ArrivedRows { mut objects, last } = target.arriving(rows.rows, &rows.devices)?;
        let is_asked = self.sync.hooks.is_some();
        if is_asked {
            objects = self.shown(target, objects).await?;
            is_sifted = (objects.len() as u64) < count;
        }
        let supply = |objects| match is_asked {
            // They were perhaps changed.
            true => Supply::kept(objects),
            false => Supply::read(objects, rows.frame, target),
        };
        let page = self.page(target, &rows.devices, objects, supply)?;
        let (collection, number) = (rows.collection, rows.number);
        Ok(ReadyRows { collection, number, count, last, page, is_sifted })
    }

    /// Shows objects to the application; those that are taken are left.
    async fn shown(&self, target: &Target, objects: Vec<Arriving>) -> Result<Vec<Arriving>> {
        let mut taken = Vec::with_capacity(objects.len());
        for mut object in objects {
            let is_taken = match &mut object.content {
                Content::Living(record) => show(self.sync, &target.collection, record).await?,
                Content::Deleted(_) => true,
            };
            if is_taken {
                taken.push(object);
            }
        }
        Ok(taken)
    }
}

/// Shows an object to the application; whether it is taken.
async fn show(sync: &InitialSync, collection: &Collection, record: &mut Record) -> Result<bool> {
    let Some(hooks) = &sync.hooks else { return Ok(true) };
    let mut object = PassingObject::new(collection, record);
    let verdict = hooks.after_receive(&mut object).await;
    object.judged("asking the application about what has arrived", verdict)
}
