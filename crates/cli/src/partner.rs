//! `tonghop nats`: other systems that may follow the totals of one province.

use domain::OrgUnitCode;
use messaging::{
    Connection, ConnectionConfig,
    partner::{Partner, accounts},
};
use serde_json::json;

use crate::{
    Ended,
    args::{NatsConsumers, NatsPartner, Partners},
    check,
    output::{Failure, Output, both, without_secrets},
};

/// Prints the accounts of a NATS server's configuration.
pub(crate) fn print(args: &NatsPartner, output: &Output) -> Result<Ended, Failure> {
    let partners = partners(&args.partners)?;
    let accounts = accounts(&partners);
    let names: Vec<_> = partners.iter().map(Partner::name).collect();
    output.result(|| json!({ "partners": names, "accounts": accounts }), || accounts.clone());
    Ok(Ended::Well)
}

/// Makes what the accounts may read from.
pub(crate) async fn make(args: &NatsConsumers, output: &Output) -> Result<Ended, Failure> {
    let partners = partners(&args.partners)?;
    let nats = args.nats.url()?;
    let connection = Connection::open("cli", &ConnectionConfig::to(nats.as_str())).await.map_err(|error| {
        let url = without_secrets(&nats);
        Failure::caused(&format!("không dùng được NATS tại {url}"), &format!("cannot use NATS at {url}"), &error)
    })?;
    for partner in &partners {
        let made = connection.provision_partner(partner, args.anew).await;
        let streams = made.map_err(|error| Failure::caused("không thiết lập được", "cannot provision", &error))?;
        let name = partner.name();
        output.result(
            || json!({ "consumer": name, "streams": streams }),
            || {
                let streams = streams.join(", ");
                output.say(&both(
                    format!("điểm đọc {name} trên {streams}: sẵn sàng"),
                    format!("consumer {name} on {streams}: ready"),
                ))
            },
        );
    }
    connection.close().await;
    Ok(Ended::Well)
}

fn partners(args: &Partners) -> Result<Vec<Partner>, Failure> {
    let loaded = check::load_whole(&args.catalogue)?;
    let unknown = |code: &String| {
        let vi =
            format!("không có tỉnh, thành phố hay bộ, ngành nào mang mã {code}, hoặc đơn vị đó không có số tổng hợp");
        Failure::new(both(vi, format!("no province or ministry has the code {code}, or it has no totals")))
    };
    let partner = |code: &String| {
        let province = code.parse::<OrgUnitCode>().ok();
        let partner = province.and_then(|province| Partner::of(&loaded.catalogue, &province, args.fates));
        partner.filter(Partner::may_follow_something).ok_or_else(|| unknown(code))
    };
    args.provinces.iter().map(partner).collect()
}
