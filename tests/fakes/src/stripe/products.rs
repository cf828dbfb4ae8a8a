//! Products and their prices.

use serde_json::{Value, json};

use super::error::Error;
use super::events;
use super::money::currency;
use super::params::Params;
use super::resources::by_path;
use super::state::{State, extend};
use crate::service::unix_now;
use crate::shelf::id_of;

pub(super) fn create_product(params: &Params, state: &mut State) -> Result<Value, Error> {
    let updates = by_path("products").map_or(&[][..], |resource| resource.updates);
    params.only(&[updates, &["id", "default_price_data", "marketing_features", "type"]])?;
    let name = params.required("name")?;
    let metadata = params.metadata()?;
    let active = params.boolean("active")?.unwrap_or(true);
    let mut product = state.begin("product");
    if let Some(id) = params.text("id") {
        if state.find("product", id).is_some() {
            return Err(Error::refused("resource_already_exists", "Product already exists."));
        }
        product["id"] = json!(id);
    }
    extend(
        &mut product,
        json!({
            "active": active, "default_price": null, "description": params.or_null("description"),
            "images": params.list("images")?, "marketing_features": [], "metadata": metadata, "name": name,
            "package_dimensions": null, "shippable": params.or_null("shippable"),
            "statement_descriptor": params.or_null("statement_descriptor"), "tax_code": params.or_null("tax_code"),
            "type": "service", "unit_label": params.or_null("unit_label"), "updated": unix_now(),
            "url": params.or_null("url"),
        }),
    );
    state.add("product", product.clone());
    events::record("product.created", &product, state);
    Ok(product)
}

pub(super) fn delete_product(id: &str, state: &mut State) -> Result<Value, Error> {
    let has_prices = state.shelf("price").is_some_and(|prices| prices.iter().any(|price| price["product"] == id));
    if has_prices {
        let message = "This product cannot be deleted because it has one or more user-created prices.";
        return Err(Error::invalid("id", message));
    }
    state.delete("product", id)
}

pub(super) fn create_price(params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[&[
        "active",
        "billing_scheme",
        "currency",
        "lookup_key",
        "metadata",
        "nickname",
        "product",
        "product_data",
        "recurring",
        "tax_behavior",
        "tiers",
        "tiers_mode",
        "transfer_lookup_key",
        "unit_amount",
        "unit_amount_decimal",
    ]])?;
    let currency = currency(params)?;
    let Some(amount) = params.integer("unit_amount")? else { return Err(Error::missing("unit_amount")) };
    if amount < 0 {
        return Err(Error::invalid_coded("unit_amount", "parameter_invalid_integer", "Invalid non-negative integer"));
    }
    let recurring = recurring(params)?;
    let metadata = params.metadata()?;
    let active = params.boolean("active")?.unwrap_or(true);
    let product = product_of(params, state)?;
    let mut price = state.begin("price");
    extend(
        &mut price,
        json!({
            "active": active, "billing_scheme": "per_unit", "currency": currency, "custom_unit_amount": null,
            "lookup_key": params.or_null("lookup_key"), "metadata": metadata, "nickname": params.or_null("nickname"),
            "product": product, "recurring": recurring, "tax_behavior": params.text("tax_behavior").unwrap_or("unspecified"),
            "tiers_mode": null, "transform_quantity": null, "type": if recurring.is_null() { "one_time" } else { "recurring" },
            "unit_amount": amount, "unit_amount_decimal": amount.to_string(),
        }),
    );
    state.add("price", price.clone());
    events::record("price.created", &price, state);
    Ok(price)
}

fn product_of(params: &Params, state: &mut State) -> Result<String, Error> {
    if let Some(id) = params.text("product") {
        return state.named("product", "product", id).map(|product| id_of(product).to_owned());
    }
    let name =
        params.get("product_data").and_then(|data| data["name"].as_str()).ok_or_else(|| Error::missing("product"))?;
    let mut product = state.begin("product");
    let more = json!({"active": true, "default_price": null, "description": null, "images": [], "marketing_features": [],
        "metadata": {}, "name": name, "type": "service", "updated": unix_now()});
    extend(&mut product, more);
    let id = id_of(&product).to_owned();
    state.add("product", product);
    Ok(id)
}

fn recurring(params: &Params) -> Result<Value, Error> {
    let Some(given) = params.get("recurring") else { return Ok(Value::Null) };
    let interval = given["interval"].as_str().ok_or_else(|| Error::missing("recurring[interval]"))?;
    if !["day", "month", "week", "year"].contains(&interval) {
        let message = "Invalid recurring[interval]: must be one of day, month, week, or year";
        return Err(Error::invalid("recurring[interval]", message));
    }
    let count = match &given["interval_count"] {
        Value::Null => 1,
        count => super::params::integer("recurring[interval_count]", count)?,
    };
    Ok(
        json!({"interval": interval, "interval_count": count, "meter": null, "trial_period_days": null, "usage_type": "licensed"}),
    )
}
