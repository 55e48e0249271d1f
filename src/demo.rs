//! stub
/// stub
pub async fn run(_once: bool) -> anyhow::Result<u8> {
    Ok(0)
}
