//! `tonghop nats`: other systems that may follow the totals of one province.

use access::{
    Layout,
    keys::{self, KeysError},
};
use domain::OrgUnitCode;
use messaging::{
    Connection, ConnectionConfig,
    accounts::{PARTNER_ACCOUNTS, PARTNER_EXPORTS},
    partner::{Partner, given},
};
use runtime::{Clock as _, SystemClock};
use serde_json::json;

use crate::{
    Ended,
    args::{NatsConsumers, NatsPartner, Partners},
    audit, check,
    output::{Failure, Output, both, without_secrets},
};

/// Writes the partners' part of the NATS servers' configuration.
pub(crate) fn write(args: &NatsPartner, output: &Output) -> Result<Ended, Failure> {
    let layout = Layout::at(&args.keys);
    let failure = |error: KeysError| Failure::caused("không ghi được tài khoản", "cannot write the accounts", &error);
    let partners = partners(&args.partners)?;
    let names: Vec<_> = partners.iter().map(Partner::name).collect();
    let detail = json!({ "partners": names, "fates": args.partners.fates });
    audit::keys::operated(&layout, &args.by.principal, "nats partner", &detail, SystemClock.now())?;
    let mut partners_with_keys = Vec::new();
    for partner in partners {
        let nkey = keys::nats_guest(&layout, &partner.name()).map_err(failure)?;
        partners_with_keys.push((partner, nkey));
    }
    let given = given(&partners_with_keys);
    for (file, text) in [(PARTNER_EXPORTS, &given.exports), (PARTNER_ACCOUNTS, &given.accounts)] {
        keys::put(&layout.of("nats").join(file), text).map_err(|error| failure(error.into()))?;
    }
    let (keys, said) = (args.keys.display(), names.join(", "));
    output.result(
        || json!({ "partners": names, "keys": args.keys }),
        || {
            output.say(&both(
                format!("đã ghi tài khoản của {said} vào {keys}/nats; hãy cho từng máy chủ NATS đọc lại cấu hình hai lần (SIGHUP)"),
                format!("accounts of {said} are in {keys}/nats; have each NATS server reload its configuration twice (SIGHUP)"),
            ))
        },
    );
    Ok(Ended::Well)
}

/// Makes what the accounts may read from.
pub(crate) async fn make(args: &NatsConsumers, output: &Output) -> Result<Ended, Failure> {
    let partners = partners(&args.partners)?;
    let connection = connect(&args.nats.config()?).await?;
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

/// NATS.
pub(crate) async fn connect(config: &ConnectionConfig) -> Result<Connection, Failure> {
    Connection::open("cli", config).await.map_err(|error| {
        let url = without_secrets(&config.url);
        Failure::caused(&format!("không dùng được NATS tại {url}"), &format!("cannot use NATS at {url}"), &error)
    })
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
