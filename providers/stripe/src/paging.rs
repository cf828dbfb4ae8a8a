//! Lists and searches: one page that streams through, or page after page up to a bound.

use kv_sdk::{Collected, Failure, Form, Io, Map, Page, RawValue, Reply, Request, Response, Value, serde_json};

use crate::params::params;

/// Parameters that are this provider's, not Stripe's.
const OWN: [&str; 2] = ["auto_paginate", "max_items"];
/// As many items as a call collects when it does not say, and at most: ten full pages.
const DEFAULT_ITEMS: usize = 100;
const MAX_ITEMS: u32 = 1_000;
/// The largest page that Stripe gives.
const PAGE: u64 = 100;

/// What a call says about how far to read.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) auto_paginate: Option<bool>,
    pub(crate) max_items: Option<u32>,
}

/// Makes the input of a list: its own filters, all of them optional, and what every list has.
macro_rules! list_input {
    ($(#[$attribute:meta])* $name:ident { $($(#[$about:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$attribute])*
        #[kv_sdk::input(open)]
        pub(crate) struct $name {
            $($(#[$about])* $field: Option<$kind>,)*
            /// Items on a page, 10 when not said.
            #[schemars(range(min = 1, max = 100))]
            limit: Option<u32>,
            /// Only what comes after the object with this id.
            starting_after: Option<String>,
            /// Only what comes before the object with this id.
            ending_before: Option<String>,
            /// Fields to expand, as `data.customer`.
            expand: Option<Vec<String>>,
            /// Read page after page, up to `max_items`. Without it one page is returned.
            auto_paginate: Option<bool>,
            /// Items to collect with `auto_paginate`, 100 when not said.
            #[schemars(range(min = 1, max = 1000))]
            max_items: Option<u32>,
        }

        impl $name {
            fn extent(&self) -> $crate::paging::Extent {
                $crate::paging::Extent { auto_paginate: self.auto_paginate, max_items: self.max_items }
            }
        }
    };
}
pub(crate) use list_input;

/// A list: its pages follow each other by the last item's id.
pub(crate) async fn list(io: &Io, path: &[&str], extent: Extent) -> Result<Reply, Failure> {
    pages(io, path, extent, "starting_after").await
}

/// A search: each page names the next.
pub(crate) async fn search(io: &Io, path: &[&str], extent: Extent) -> Result<Reply, Failure> {
    pages(io, path, extent, "page").await
}

async fn pages(io: &Io, path: &[&str], extent: Extent, cursor: &'static str) -> Result<Reply, Failure> {
    let params = params(io, &OWN)?;
    let request = |params: Map<String, Value>| {
        Request::get(path.iter().copied()).queries(Form::from_json(&Value::Object(params)))
    };
    if extent.auto_paginate != Some(true) {
        return match extent.max_items {
            None => io.forward_success(request(params)).await,
            Some(_) => Err(Failure::invalid_input("`max_items` goes with `auto_paginate`; for one page use `limit`")
                .at("/max_items")),
        };
    }
    if params.contains_key("ending_before") {
        return Err(
            Failure::invalid_input("`auto_paginate` reads forwards only: use `starting_after`").at("/ending_before")
        );
    }
    let most = match extent.max_items {
        None => DEFAULT_ITEMS,
        Some(count @ 1..=MAX_ITEMS) => count as usize,
        Some(_) => return Err(Failure::invalid_input(format!("it is 1 to {MAX_ITEMS}")).at("/max_items")),
    };
    let ask = |from: Option<&str>, wanted: usize| {
        let mut params = params.clone();
        params.entry("limit").or_insert_with(|| PAGE.min(wanted as u64).into());
        if let Some(from) = from {
            params.insert(cursor.to_owned(), from.into());
        }
        request(params)
    };
    let Collected { items, more } = io.collect(most, ask, move |response| page(response, cursor)).await?;
    // A list can be read on from its last item. A search cannot, if it was cut inside a page.
    let starting_after = if more && cursor == "starting_after" { last_id(&items) } else { None };
    Reply::json(&List { object: "list".into(), data: items, has_more: more, starting_after })
}

fn page(response: Response, cursor: &str) -> Result<Page<Box<RawValue>>, Failure> {
    let StripePage { data, has_more, next_page } = response.error_for_status()?.compact().json()?;
    let next = if cursor == "page" { next_page } else { last_id(&data) };
    Ok(Page { items: data, next: next.filter(|_| has_more) })
}

fn last_id(items: &[Box<RawValue>]) -> Option<String> {
    let item: Item = serde_json::from_str(items.last()?.get()).ok()?;
    item.id
}

/// What a call that read on returns: a list of Stripe's, and where it goes on.
#[kv_sdk::data]
struct List {
    object: String,
    data: Vec<Box<RawValue>>,
    has_more: bool,
    starting_after: Option<String>,
}

#[kv_sdk::data]
struct StripePage {
    /// Not looked into, but for the last one's id.
    data: Vec<Box<RawValue>>,
    #[serde(default)]
    has_more: bool,
    #[serde(default)]
    next_page: Option<String>,
}

#[kv_sdk::data]
struct Item {
    #[serde(default)]
    id: Option<String>,
}
