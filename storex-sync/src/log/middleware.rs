//! What a [`SyncLog`] does: it makes what it needs when the storage is opened, and logs each batch.

use std::sync::Arc;

use async_trait::async_trait;
use storex_core::{
    Batch, Context, Definition, Error, FieldType, Middleware, Module, Name, Next, OpenContext,
    Operation, Origin, Outcome, Query,
};

use super::{CLOCK, LOG, Opened, SyncLog};
use crate::before::{BEFORE, Witness, forget_all};
use crate::catalogue::{Catalogue, Followed};
use crate::error::{SyncError, abort};
use crate::lane::Names;
use crate::log_writer::LogWriter;
use crate::meta::{
    CATALOGUE, DEVICES, FOLLOWED, HEAD, LANES, LOCAL_FIELDS, LOCAL_ONLY, META, RULES, decode_names,
    encode_names, meta_definition, meta_row, newcomer, read_meta, write_meta,
};
use crate::numbers::{AllNumbers, catalogue_query, read_numbers};
use crate::touched::touched;

impl SyncLog {
    /// Makes what is missing: an identity for this database, numbers for new collections and fields.
    async fn prepare(&self, cx: &OpenContext<'_>, names: &Names) -> storex_core::Result<()> {
        let mut id = [0; 16];
        cx.runtime.fill_random(&mut id);
        let registry = Arc::clone(cx.registry);
        let left_out = self.lanes.left_out(names, &registry, &self.local_only);
        let lanes = names.lane().is_none().then(|| self.lanes.clone());
        let are_local = self.local_only.clone();
        let local =
            [(LOCAL_ONLY, encode_names(&left_out)), (LOCAL_FIELDS, self.local_fields.encode())];
        let rules = self.rules.encode();
        let read = read_meta(&[
            HEAD,
            DEVICES,
            CATALOGUE,
            LOCAL_ONLY,
            LOCAL_FIELDS,
            FOLLOWED,
            RULES,
            LANES,
        ]);
        let reversible = self.merging.reversible;
        let kept = Query::new(BEFORE).limit(1);
        let batch = Batch::new().find(kept).step(read).then(move |trace| {
            // Nobody has folded into it what has arrived meanwhile.
            let forget = (!reversible && !trace.found(1).is_empty()).then(forget_all);
            let rows = trace.found(0);
            let mut write = Vec::new();
            if meta_row(rows, HEAD).is_none() {
                write.extend(newcomer(id));
            }
            let mut catalogue = match meta_row(rows, CATALOGUE) {
                Some(bytes) => Catalogue::decode(bytes).map_err(|error| abort(&error))?,
                None => Catalogue::default(),
            };
            let known = match meta_row(rows, FOLLOWED) {
                Some(bytes) => Followed::decode(bytes).map_err(|error| abort(&error))?,
                None => Followed::default(),
            };
            let followed = catalogue.follow(&registry, &known);
            let stored = meta_row(rows, LANES).unwrap_or_default();
            if let Some(lanes) = &lanes {
                let local = decode_names(meta_row(rows, LOCAL_ONLY).unwrap_or_default());
                let checked = local.and_then(|it| {
                    lanes.check_stored(stored, &catalogue, &registry, [&it, &are_local])
                });
                checked.map_err(|error| abort(&error))??;
            }
            let extended = catalogue.extend(&registry);
            let now = catalogue.followed(&registry, &known);
            if now != known {
                write.push((FOLLOWED, now.encode()));
            }
            if followed || extended || meta_row(rows, CATALOGUE).is_none() {
                write.push((CATALOGUE, catalogue.encode()));
            }
            let changed =
                local.iter().filter(|(name, it)| meta_row(rows, name).unwrap_or_default() != *it);
            write.extend(changed.cloned());
            let chosen = lanes.as_ref().map(|lanes| lanes.store(stored, &catalogue));
            let chosen = chosen.transpose().map_err(|error| abort(&error))?;
            write.extend(chosen.filter(|it| it != stored).map(|it| (LANES, it)));
            if meta_row(rows, RULES).unwrap_or_default() != rules {
                write.push((RULES, rules.clone()));
            }
            let write = (!write.is_empty()).then(|| write_meta(write));
            Ok(forget.into_iter().chain(write).collect())
        });
        cx.backend.execute(names.batch(batch)).await?;
        Ok(())
    }

    /// The lane's own collections.
    fn collections(names: &Names) -> [Definition; 7] {
        [
            meta_definition(names),
            Definition::new(names.own(LOG))
                .reserved()
                .field("sequence", FieldType::Int)
                .field("transaction", FieldType::Binary)
                .field("entries", FieldType::Int)
                .primary_key(["sequence"]),
            Definition::new(names.own(CLOCK))
                .reserved()
                .field("collection", FieldType::Int)
                .field("key", FieldType::Binary)
                .field("clock", FieldType::Binary)
                .primary_key(["collection", "key"]),
            crate::before::before_definition(names),
            crate::parked::parked_definition(names),
            crate::rejected::rejected_definition(names),
            crate::journal::conflicts_definition(names),
        ]
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for SyncLog {
    fn module(&self) -> Module {
        Module::new("storex-sync")
            .collections(self.lanes.names().flat_map(|names| Self::collections(&names)))
            .extension(Arc::new(self.merging.clone()))
    }

    async fn open(&self, cx: &OpenContext<'_>) -> storex_core::Result<()> {
        for name in &self.local_only {
            cx.registry.collection(name)?;
        }
        self.merging.check(cx.registry, &self.local_only)?;
        self.local_fields.check(cx.registry, &self.local_only, &self.merging)?;
        self.merging.scopes.check(
            cx.registry,
            &self.local_only,
            &self.local_fields,
            &self.merging,
        )?;
        self.rules.check(cx.registry)?;
        self.lanes.check(cx.registry, &self.local_only, &self.rules)?;
        let mut lanes = Vec::new();
        for names in self.lanes.names() {
            self.prepare(cx, &names).await?;
            let catalogue = cx.backend.find(names.query(catalogue_query()));
            let numbers = read_numbers(catalogue, cx.registry, &self.merging.scopes).await;
            // The class of an error must not be lost: a lock, say, may be free later.
            lanes.push((names, Arc::new(numbers.map_err(refusal)?)));
        }
        let opened = Opened {
            lanes: lanes.into(),
            schema: cx.registry.version().0,
            merging: Arc::new(self.merging.clone()),
        };
        // A builder opens its middleware once.
        let _ = self.opened.set(opened);
        Ok(())
    }

    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> storex_core::Result<Outcome> {
        let Operation::Execute(mut batch) = operation else { return next.run(cx, operation).await };
        if batch.origin != Origin::Local {
            return next.run(cx, Operation::Execute(batch)).await;
        }
        let Opened { lanes, schema, merging } = self.opened.get().cloned().ok_or(Error::Closed)?;
        merging.adapt(&mut batch);
        let own_steps = batch.steps.len();
        // A lane that the batch has nothing to do with is not to wait for it.
        let reached = (lanes.len() > 1).then(|| batch.collections(cx.registry()));
        let written = |(_, numbers): &&(Names, Arc<AllNumbers>)| {
            reached.as_ref().is_none_or(|names| names.iter().any(|it| numbers.get(it).is_some()))
        };
        let (writing, others): (Vec<_>, Vec<_>) = lanes.iter().partition(written);
        for (names, numbers) in writing {
            let witness = merging.reversible.then(|| Witness::new(Arc::clone(numbers)));
            if let Some(witness) = &witness {
                let before = names.own(BEFORE);
                batch = batch.observed_by(Arc::new(witness.clone())).touching([before]);
            }
            let writer = Arc::new(LogWriter {
                witness,
                registry: Arc::clone(cx.registry()),
                runtime: Arc::clone(cx.runtime()),
                numbers: Arc::clone(numbers),
                schema,
                merging: Arc::clone(&merging),
            });
            let own = names.clone();
            batch = batch
                .touching([META, CLOCK, LOG].map(|name| names.own(name)))
                .then(move |trace| Ok(own.steps(Arc::clone(&writer).begin(trace)?)));
        }
        if !others.is_empty() {
            let others: Vec<_> = others.into_iter().map(|(_, it)| Arc::clone(it)).collect();
            let registry = Arc::clone(cx.registry());
            batch = batch.then(move |trace| {
                let all = others.iter().flat_map(|numbers| touched(trace, &registry, numbers));
                all.map(|it| Err(unnamed(it.name()))).next().unwrap_or(Ok(Vec::new()))
            });
        }
        let outcome = next.run(cx, Operation::Execute(batch)).await?;
        Ok(match outcome {
            Outcome::Executed(mut executed) => {
                executed.hide_from(own_steps);
                Outcome::Executed(executed)
            }
            other => other,
        })
    }
}

/// A step was added further in, past all lanes that log.
fn unnamed(collection: &Name) -> Error {
    let reason = "it is written by a step that was added behind the sync log, and is in a lane of which the batch names no \
                  collection; name it with `Batch::touching`";
    Error::invalid(collection, reason)
}

/// What the storage is told: its own error, with its class, or why the log gives up.
pub(crate) fn refusal(error: SyncError) -> Error {
    match error {
        SyncError::Storage { source, .. } => source,
        other => abort(&other),
    }
}
