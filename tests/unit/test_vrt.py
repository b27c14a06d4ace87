"""VRT files that tools write are read; hostile ones are in tests/bad_input/test_hostile_rasters.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio.shutil

import eocausal as ec
from eocausal.imagery.vrt import named_sources
from tests.scenes import NORTH, WEST, numbered, read_all, units_on, write_scene

# As gdalbuildvrt writes a mosaic of two tiles with nodata, a colour table, statistics and overviews.
MOSAIC = f"""<VRTDataset rasterXSize="80" rasterYSize="60">
  <SRS dataAxisToSRSAxisMapping="1,2">EPSG:32636</SRS>
  <GeoTransform> {WEST}, 30, 0, {NORTH}, 0, -30</GeoTransform>
  <OverviewList resampling="average">2 4</OverviewList>
  <Metadata domain="xml:XMP" format="xml"><x:xmpmeta xmlns:x="adobe:ns:meta/">any</x:xmpmeta></Metadata>
  <!-- made by hand -->
  <VRTRasterBand dataType="Float32" band="1" subClass="VRTSourcedRasterBand" blockXSize="128" blockYSize="128">
    <Description>elevation</Description>
    <NoDataValue>-9999</NoDataValue>
    <ColorInterp>Gray</ColorInterp>
    <Histograms><HistItem><HistMin>0</HistMin><HistMax>9</HistMax><BucketCount>2</BucketCount>
      <IncludeOutOfRange>0</IncludeOutOfRange><Approximate>1</Approximate><HistCounts>1|2</HistCounts></HistItem>
    </Histograms>
    <ComplexSource>
      <SourceFilename relativeToVRT="1">tiles/west.tif</SourceFilename>
      <SourceBand>1</SourceBand>
      <SourceProperties RasterXSize="40" RasterYSize="60" DataType="Float32" BlockXSize="40" BlockYSize="25"/>
      <SrcRect xOff="0" yOff="0" xSize="40" ySize="60"/><DstRect xOff="0" yOff="0" xSize="40" ySize="60"/>
      <NODATA>-9999</NODATA>
    </ComplexSource>
    <SimpleSource resampling="near">
      <SourceFilename relativeToVRT="0" shared="0">EAST</SourceFilename>
      <SourceBand>1</SourceBand>
      <SrcRect xOff="0" yOff="0" xSize="40" ySize="60"/><DstRect xOff="40" yOff="0" xSize="40" ySize="60"/>
    </SimpleSource>
  </VRTRasterBand>
</VRTDataset>
"""


def mosaic(folder: Path) -> Path:
    (folder / "tiles").mkdir()
    west, east = numbered(1)[:, :, :40].copy(), numbered(1)[:, :, 40:]
    west[0, 30, 39] = -9999
    write_scene(folder / "tiles" / "west.tif", west)
    write_scene(folder / "east.tif", east, corner=(WEST + 1200, NORTH))
    (folder / "mosaic.vrt").write_text(MOSAIC.replace("EAST", str(folder / "east.tif")))
    return folder / "mosaic.vrt"


def test_a_mosaic_with_all_that_tools_write_is_read(tmp_path):
    file = mosaic(tmp_path)
    assert named_sources(file) == [tmp_path / "tiles" / "west.tif", tmp_path / "east.tif"]
    batch = read_all(ec.chips(units_on([(30.5, 40.0)]), file, size_px=4))
    expected = numbered(1)[:, 29:33, 38:42]
    # the nodata pixel of the west, row 30 and column 39
    expected[0, 1, 1] = np.nan
    np.testing.assert_array_equal(batch.pixels["4px"][0, 0], expected)


def test_sources_are_beside_the_file_that_a_link_leads_to(tmp_path):
    file = mosaic(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.vrt"
    link.symlink_to(file)
    units = units_on([(10.5, 10.5)])
    found = [read_all(ec.chips(units, raster, size_px=3)).pixels["3px"] for raster in (file, link)]
    np.testing.assert_array_equal(found[0], found[1])
    assert found[0][0, 0, 0, 1, 1] == 11010


def test_copies_that_gdal_itself_writes_are_read(tmp_path):
    classes = numbered(1).astype("uint8")
    first = write_scene(tmp_path / "a.tif", numbered(), nodata=-1, descriptions=("red", "nir"))
    second = write_scene(tmp_path / "b.tif", classes, mask=np.full((60, 80), 255, "uint8"))
    with rasterio.open(second, "r+") as out:
        out.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)})
    for file in (first, second):
        copy = file.with_suffix(".vrt")
        rasterio.shutil.copy(file, copy, driver="VRT")
        assert named_sources(copy) == [file]
        units = units_on([(30.5, 40.5)])
        found = [read_all(ec.chips(units, raster, size_px=5)).pixels["5px"] for raster in (file, copy)]
        np.testing.assert_array_equal(found[0], found[1])
