//! `cairnctl bgp mrt-dump`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use bgpd_api::Client;

use crate::Error;

/// Writes a file beside the wanted one and renames it, so that nobody ever sees half a dump.
pub(super) async fn write(client: &mut Client, path: &Path) -> Result<(), Error> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    let failed = |source| Error::File { path: path.display().to_string(), source };
    let mut file = BufWriter::new(File::create(partial).map_err(failed)?);
    let mut stream = client.dump_table().await?;
    while let Some(piece) = stream.next().await? {
        file.write_all(&piece.0).map_err(failed)?;
    }
    file.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)?;
    std::fs::rename(partial, path).map_err(failed)
}
