package kql

// scalars are KQL's functions whose value depends on their arguments, or on the
// row and the clock, and on nothing else. Functions of neighbouring rows, of
// chance and of other tables are left out, as are a tenant's own.
var scalars = words(`
abs acos ago all any around array_concat array_iff array_iif array_index_of array_length array_reverse
array_rotate_left array_rotate_right array_shift_left array_shift_right array_slice array_sort_asc
array_sort_desc array_split array_strcat array_sum arraylength asin assert atan atan2

bag_has_key bag_keys bag_merge bag_pack bag_pack_columns bag_remove_keys bag_set_key bag_zip
base64_decode_toarray base64_decode_toguid base64_decode_tostring base64_decodestring
base64_encode_fromarray base64_encode_fromguid base64_encode_tostring base64_encodestring
beta_cdf beta_inv beta_pdf bin bin_at binary_and binary_not binary_or binary_shift_left
binary_shift_right binary_xor bitset_count_ones

case ceiling coalesce column_ifexists columnifexists convert_angle convert_energy convert_force
convert_length convert_mass convert_speed convert_temperature convert_volume cos cot countof

datepart datetime_add datetime_diff datetime_local_to_utc datetime_part datetime_utc_to_local dayofmonth
dayofweek dayofyear dcount_hll degrees dynamic_to_json endofday endofmonth endofweek endofyear erf erfc
estimate_data_size exp exp10 exp2 extract extract_all extract_json extractall extractjson

floor format_bytes format_datetime format_ipv4 format_ipv4_mask format_timespan gamma
geo_angle geo_azimuth geo_closest_point_on_line geo_closest_point_on_polygon geo_distance_2points
geo_distance_point_to_line geo_distance_point_to_polygon geo_from_wkt geo_geohash_neighbors
geo_geohash_to_central_point geo_geohash_to_polygon geo_h3cell_children geo_h3cell_level
geo_h3cell_neighbors geo_h3cell_parent geo_h3cell_rings geo_h3cell_to_central_point geo_h3cell_to_polygon
geo_info_from_ip_address geo_intersects_2lines geo_intersects_2polygons geo_intersects_line_with_polygon
geo_line_length geo_point_in_circle geo_point_in_polygon geo_point_to_geohash geo_point_to_h3cell
geo_point_to_s2cell geo_polygon_area geo_s2cell_neighbors geo_s2cell_to_central_point geo_s2cell_to_polygon
getmonth gettype getyear gzip_compress_to_base64_string gzip_decompress_from_base64_string

has_any_index has_any_ipv4 has_any_ipv4_prefix has_ipv4 has_ipv4_prefix hash hash_combine hash_many hash_md5
hash_sha1 hash_sha256 hash_xxhash64 hourofday iff iif indexof indexof_regex ingestion_time ipv4_compare
ipv4_is_in_any_range ipv4_is_in_range ipv4_is_match ipv4_is_private ipv4_netmask_suffix
ipv4_range_to_cidr_list ipv6_compare ipv6_is_in_any_range ipv6_is_in_range ipv6_is_match isascii
iscolumnexists isempty isfinite isinf isnan isnotempty isnotnull isnull isutf8 jaccard_index

log log10 log2 loggamma make_datetime make_string make_timespan max_of min_of monthofyear
not notempty notnull now pack pack_all pack_array pack_dictionary parse_command_line parse_csv parse_ipv4
parse_ipv4_mask parse_ipv6 parse_ipv6_mask parse_json parse_path parse_url parse_urlquery parse_user_agent
parse_version parse_xml parsejson parseurl parseurlquery pi pow punycode_domain_from_string
punycode_domain_to_string punycode_from_string punycode_to_string radians range regex_quote repeat replace
replace_regex replace_string replace_strings reverse round

set_difference set_equals set_has_element set_intersect set_union sign sin split sqrt startofday
startofmonth startofweek startofyear strcat strcat_array strcat_delim strcmp string_size strlen strrep
substring tan to_utf8 tobool toboolean todatetime todecimal todouble todynamic toguid tohex toint tolong
tolower toobject toreal tostring totime totimespan toupper translate treepath trim trim_end trim_start
unicode_codepoints_from_string unicode_codepoints_to_string unixtime_microseconds_todatetime
unixtime_milliseconds_todatetime unixtime_nanoseconds_todatetime unixtime_seconds_todatetime url_decode
url_encode url_encode_component week_of_year weekofyear zip zlib_compress_to_base64_string
zlib_decompress_from_base64_string`)

// aggregates are found where a few values are put together: a list that the
// query itself holds, or the elements of one row's value.
var aggregates = words(`
arg_max arg_min avg avgif buildschema count count_distinct count_distinctif countif dcount dcountif
make_bag make_bag_if make_list make_list_if make_list_with_nulls make_set make_set_if makelist makeset max
maxif min minif percentile percentiles stdev stdevif stdevp sum sumif variance varianceif variancep`)

// beforeBracket are words that a bracket may follow without being called:
// operators, and literals that are written like calls.
var beforeBracket = words(`
and or in has has_cs hasprefix hassuffix has_any has_all contains contains_cs startswith endswith between
matches regex like by on to with as of kind step from where filter extend project view in_range
datatable dynamic datetime date time timespan bool boolean int long real double decimal guid uuid string
typeof`)

// Functions that are refused, by the reason.
var (
	overTables     = words(`toscalar totable materialize`)
	overNeighbours = words(`row_number row_cumsum row_rank row_rank_dense row_rank_min row_window_session prev next`)
	anew           = words(`rand new_guid externaldata external_table`)
)
