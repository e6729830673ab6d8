// One model of a profile: the parameters of its form, its domain, its residual.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "profile_fields.hpp"

namespace alphaflops {
namespace {

constexpr double kLargest = 1e6;
constexpr double kMostBytes = 1e15;
constexpr double kLeastFactor = 1e-6;
constexpr std::size_t kMostCandidates = most_candidates;
constexpr std::size_t kMostNodes = 100000;
constexpr double kMostOctaves = 200.0;    // of a domain's bounds, either way
constexpr double kMostThreshold = 1e6;    // of a split
constexpr double kMostCorrection = 10.0;  // of a leaf, in the logarithm of a time
constexpr double kMostCorrected = 100.0;  // by all trees together

double rate(const Fields& p, const char* key) { return p.number(key, 0.0, kLargest); }

double rate_or_zero(const Fields& p, const char* key) {
  return p.optional_number(key, 0.0, kLargest).value_or(0.0);
}

template <typename C>
void read_floor(C& cost, const Fields& p) {
  cost.floor_s = rate_or_zero(p, "floor_s");
  cost.sharpness = p.optional_number("sharpness", 1.0, 100.0).value_or(1.0);
}

template <typename C>
void read_alpha(C& cost, const Fields& p, double most_gamma) {
  cost.seconds_per_mac = rate(p, "seconds_per_mac");
  cost.beta = p.number("beta", 0.0, 1.0);
  cost.gamma = p.number("gamma", 0.0, most_gamma);
}

TileCandidate read_candidate(const json::Value& value, const std::string& place) {
  const Fields p(value, place);
  TileCandidate c;
  try {
    c.algorithm = parse_tile_algorithm(p.text("algorithm"));
  } catch (const UnsupportedError& e) {
    throw ProfileError(place + ": " + e.what());
  }
  c.tile_rows = p.number("tile_rows", 1.0, 1e6);
  c.tile_columns = p.number("tile_columns", 1.0, 1e6);
  c.seconds_per_mac = rate(p, "seconds_per_mac");
  c.depth_overhead = rate_or_zero(p, "depth_overhead");
  c.start_waves = rate_or_zero(p, "start_waves");
  c.whole_waves = p.optional_number("whole_waves", 0.0, 1.0).value_or(0.0);
  c.floor_s = rate_or_zero(p, "floor_s");
  c.seconds_per_byte_read = rate_or_zero(p, "seconds_per_byte_read");
  c.seconds_per_byte_written = rate_or_zero(p, "seconds_per_byte_written");
  c.seconds_per_weight_byte = rate_or_zero(p, "seconds_per_weight_byte");
  return c;
}

TiledCost read_tiled(const Fields& p) {
  TiledCost cost;
  cost.processors = p.number("processors", 1.0, kLargest);
  cost.seconds_per_biased_byte = rate_or_zero(p, "seconds_per_biased_byte");
  cost.seconds_per_padded_byte = rate_or_zero(p, "seconds_per_padded_byte");
  const json::Array& candidates = p.array("candidates");
  if (candidates.empty() || candidates.size() > kMostCandidates) {
    throw ProfileError(p.place() + ": \"candidates\" has " + std::to_string(candidates.size()) +
                       " entries; it must have 1 to " + std::to_string(kMostCandidates));
  }
  bool general = false;
  for (std::size_t k = 0; k < candidates.size(); ++k) {
    cost.candidates.push_back(
        read_candidate(candidates[k], p.place() + ".candidates[" + std::to_string(k) + "]"));
    general = general || cost.candidates.back().algorithm <= TileAlgorithm::group_gemm;
  }
  if (!general) {
    throw ProfileError(p.place() +
                       ": \"candidates\" needs one that does every convolution: implicit_gemm, "
                       "row_gemm, channelwise or group_gemm");
  }
  return cost;
}

/// By OpCode; none where the profile has none.
std::vector<double> read_op_factors(const Fields& p) {
  const json::Value* value = p.find("op_factors");
  if (value == nullptr || value->is_null()) return {};
  const std::string place = p.place() + ".op_factors";
  const Fields factors(*value, place);
  std::vector<double> by_code(op_names().size(), 1.0);
  for (const auto& [name, unused] : *value->object()) {
    const OpCode code = op_code(name);
    if (code == 0) {
      throw ProfileError(place + ": operator '" + name + "' is not known to this version");
    }
    by_code[code] = factors.number(name.c_str(), kLeastFactor, kLargest);
  }
  return by_code;
}

Cost read_cost(const std::string& form, const Fields& p, const std::string& place) {
  if (form == "alpha") {
    AlphaCost cost;
    read_alpha(cost, p, 100.0);
    read_floor(cost, p);
    return cost;
  }
  if (form == "traffic") {
    TrafficCost cost;
    cost.seconds_per_byte_read = rate(p, "seconds_per_byte_read");
    cost.seconds_per_byte_written = rate(p, "seconds_per_byte_written");
    read_floor(cost, p);
    cost.seconds_per_tap = rate_or_zero(p, "seconds_per_tap");
    cost.op_factors = read_op_factors(p);
    return cost;
  }
  if (form == "roofline-alpha") {
    RooflineCost cost;
    read_alpha(cost, p, 1.0);
    cost.half_rows = rate_or_zero(p, "half_rows");
    cost.half_c_out = rate_or_zero(p, "half_c_out");
    cost.half_depth = rate_or_zero(p, "half_depth");
    cost.seconds_per_weight_byte = rate_or_zero(p, "seconds_per_weight_byte");
    cost.seconds_per_byte_read = rate_or_zero(p, "seconds_per_byte_read");
    cost.seconds_per_byte_written = rate_or_zero(p, "seconds_per_byte_written");
    cost.seconds_per_padded_byte = rate_or_zero(p, "seconds_per_padded_byte");
    read_floor(cost, p);
    return cost;
  }
  if (form == "tiled") return read_tiled(p);
  throw ProfileError(place + ": form '" + form +
                     "' is not known to this version; it knows alpha, traffic, roofline-alpha and "
                     "tiled");
}

std::vector<double> read_numbers(const Fields& fields, const char* key) {
  std::vector<double> numbers;
  for (const json::Value& value : fields.array(key)) {
    const double* number = value.number();
    if (number == nullptr || !std::isfinite(*number)) {
      throw ProfileError(fields.place() + ": \"" + key + "\" must be an array of numbers");
    }
    numbers.push_back(*number);
  }
  return numbers;
}

/// Raises ProfileError unless |value| <= most.
void require_within(const Fields& fields, const char* key, std::size_t index, double value,
                    double most) {
  if (std::abs(value) <= most) return;
  std::ostringstream why;
  why << fields.place() << "." << key << "[" << index << "] is " << value << "; it must be from "
      << -most << " to " << most;
  throw ProfileError(why.str());
}

Domain read_domain(const Fields& fields) {
  Domain::Bounds bounds_low{}, bounds_high{};
  const std::vector<double> low = read_numbers(fields, "low");
  const std::vector<double> high = read_numbers(fields, "high");
  if (low.size() != bounds_low.size() || high.size() != bounds_high.size()) {
    throw ProfileError(fields.place() + ": \"low\" and \"high\" must have " +
                       std::to_string(bounds_low.size()) + " numbers each");
  }
  for (std::size_t k = 0; k < low.size(); ++k) {
    require_within(fields, "low", k, low[k], kMostOctaves);
    require_within(fields, "high", k, high[k], kMostOctaves);
    if (low[k] > high[k]) {
      throw ProfileError(fields.place() + ": \"low\" is above \"high\" at " + std::to_string(k) +
                         ", " + std::string(trait_names[k]));
    }
    bounds_low[k] = static_cast<float>(low[k]);
    bounds_high[k] = static_cast<float>(high[k]);
  }
  return {bounds_low, bounds_high};
}

/// The most that trees add to the logarithm of a time, either way. Children stand behind parents.
double most_correction(const std::vector<Forest::Node>& nodes,
                       const std::vector<std::int32_t>& roots) {
  std::vector<double> most(nodes.size());
  for (std::size_t i = nodes.size(); i-- > 0;) {
    const Forest::Node& node = nodes[i];
    most[i] = node.trait < 0 ? std::abs(double{node.value})
                             : std::max(most[i + 1], most[static_cast<std::size_t>(node.right)]);
  }
  double sum = 0.0;
  for (const std::int32_t root : roots) sum += most[static_cast<std::size_t>(root)];
  return sum;
}

Forest read_forest(const Fields& fields) {
  const std::vector<double> trait = read_numbers(fields, "trait");
  const std::vector<double> right = read_numbers(fields, "right");
  const std::vector<double> value = read_numbers(fields, "value");
  const std::vector<double> roots = read_numbers(fields, "roots");
  const std::size_t n = trait.size();
  const auto fail = [&fields](const std::string& why) {
    throw ProfileError(fields.place() + ": " + why);
  };
  if (n == 0 || n > kMostNodes || right.size() != n || value.size() != n || roots.empty()) {
    fail("\"trait\", \"right\" and \"value\" must have one number a node, \"roots\" one a tree");
  }
  const auto is_index = [](double x, double least, std::size_t end) {
    return x >= least && x < static_cast<double>(end) && x == std::floor(x);
  };
  std::vector<Forest::Node> nodes;
  for (std::size_t i = 0; i < n; ++i) {
    const bool leaf = trait[i] == -1.0;
    if (!leaf && (!is_index(trait[i], 0.0, trait_count) || i + 1 >= n ||
                  !is_index(right[i], static_cast<double>(i) + 1, n))) {
      fail("node " + std::to_string(i) + " names a trait or a child that is not there");
    }
    require_within(fields, "value", i, value[i], leaf ? kMostCorrection : kMostThreshold);
    nodes.push_back({static_cast<std::int16_t>(trait[i]),
                     static_cast<std::int32_t>(leaf ? 0.0 : right[i]),
                     static_cast<float>(value[i])});
  }
  std::vector<std::int32_t> tree_roots;
  for (const double root : roots) {
    if (!is_index(root, 0.0, n)) fail("a root is not there");
    tree_roots.push_back(static_cast<std::int32_t>(root));
  }
  if (const double most = most_correction(nodes, tree_roots); most > kMostCorrected) {
    std::ostringstream why;
    why << "leaves of all trees add up to " << most << "; they must to at most " << kMostCorrected;
    fail(why.str());
  }
  return {nodes, tree_roots, fields.place()};
}

/// 1 by OpCode of those named. Operators that this version does not know are none that it prices.
std::vector<std::uint8_t> read_operators(const json::Value& value, const std::string& place) {
  std::vector<std::uint8_t> named(op_names().size(), 0);
  const auto fail = [&place] {
    throw ProfileError(place + ": it must be an array of names of operators");
  };
  if (value.array() == nullptr) fail();
  for (const json::Value& name : *value.array()) {
    if (name.string() == nullptr) fail();
    named[op_code(*name.string())] = 1;
  }
  return named;
}

FreshMemory read_fresh(const json::Value& value, const std::string& place) {
  const Fields fields(value, place);
  FreshMemory fresh;
  fresh.from_bytes = fields.number("from_bytes", 1.0, kMostBytes);
  fresh.seconds_per_byte_read = rate_or_zero(fields, "seconds_per_byte_read");
  fresh.seconds_per_byte_written = rate_or_zero(fields, "seconds_per_byte_written");
  fresh.seconds_per_weight_byte = rate_or_zero(fields, "seconds_per_weight_byte");
  const json::Value* in_place = fields.find("in_place");
  if (in_place != nullptr && !in_place->is_null()) {
    fresh.in_place = read_operators(*in_place, place + ".in_place");
  }
  return fresh;
}

}  // namespace

WeightReuse read_weight_reuse(const json::Value& value, const std::string& place) {
  const Fields fields(value, place);
  WeightReuse reuse;
  reuse.distance_bytes = read_numbers(fields, "distance_bytes");
  reuse.share = read_numbers(fields, "share");
  const auto rises = [](double a, double b) { return a < b; };
  if (reuse.distance_bytes.empty() || reuse.share.size() != reuse.distance_bytes.size() ||
      reuse.distance_bytes[0] <= 0.0 ||
      std::ranges::adjacent_find(reuse.distance_bytes, std::not_fn(rises)) !=
          reuse.distance_bytes.end()) {
    throw ProfileError(place +
                       ": \"distance_bytes\" must be positive and ascending, and \"share\" have as "
                       "many numbers");
  }
  for (const double share : reuse.share) {
    if (share > 0.0 && share <= 1.0) continue;
    throw ProfileError(place + ": \"share\" must be of numbers above 0 and at most 1");
  }
  if (const std::optional<double> keep = fields.optional_number("keep_s", 1e-9, 1e9)) {
    reuse.keep_s = *keep;
  }
  const std::string rows_place = place + ".half_rows";
  const json::Value& rows = fields.require("half_rows");
  const Fields half_rows(rows, rows_place);
  for (const auto& [name, unused] : *rows.object()) {
    try {
      reuse.half_rows[static_cast<std::size_t>(parse_kind(name))] =
          half_rows.number(name.c_str(), 0.0, 1e12);
    } catch (const UnsupportedError& e) {
      throw ProfileError(rows_place + ": " + e.what());
    }
  }
  return reuse;
}

CostModel read_model(const json::Value& value, const std::string& place) {
  const Fields fields(value, place);
  CostModel model;
  try {
    model.kind = parse_kind(fields.text("kind"));
    model.dtype = parse_dtype(fields.text("dtype"));
    model.pass = parse_pass(fields.text("pass"));
  } catch (const UnsupportedError& e) {
    throw ProfileError(place + ": " + e.what());
  }
  if (model.kind == Kind::unknown) {
    throw ProfileError(place + ": kind 'unknown' cannot be priced; name the kind of its operators");
  }
  const std::string form = fields.text("form");
  const Fields parameters(fields.require("parameters"), place + ".parameters");
  model.cost = read_cost(form, parameters, place);
  model.cache.seconds_per_byte_beyond = rate_or_zero(parameters, "seconds_per_byte_beyond");
  model.cache.cache_bytes =
      parameters.optional_number("cache_bytes", 0.0, kMostBytes).value_or(0.0);
  const auto given = [&fields](const char* key) {
    const json::Value* found = fields.find(key);
    return found != nullptr && !found->is_null() ? found : nullptr;
  };
  if (const json::Value* operators = given("operators")) {
    model.timed = read_operators(*operators, place + ".operators");
    model.timed[0] = 1;  // of no operator in particular
  }
  if (const json::Value* fresh = given("fresh_memory")) {
    model.fresh = read_fresh(*fresh, place + ".fresh_memory");
  }
  if (const json::Value* per_step = given("per_step")) {
    const bool* is_true = std::get_if<bool>(&per_step->data);
    if (is_true == nullptr || (*is_true && !has_steps(model.kind))) {
      throw ProfileError(place +
                         ": \"per_step\" is true or false, and true of recurrences and calls only");
    }
    model.per_step = *is_true;
  }
  if (const json::Value* domain = given("domain")) {
    model.domain = read_domain(Fields(*domain, place + ".domain"));
  }
  if (const json::Value* residual = given("residual")) {
    if (!model.domain.known()) throw ProfileError(place + ": \"residual\" needs a \"domain\"");
    model.residual = read_forest(Fields(*residual, place + ".residual"));
  }
  if (const json::Value* interval = given("interval")) {
    const Fields factors(*interval, place + ".interval");
    model.lower_factor = factors.number("lower_factor", 0.0, 1.0);
    model.upper_factor = factors.number("upper_factor", 1.0, kLargest);
  }
  return model;
}

}  // namespace alphaflops
