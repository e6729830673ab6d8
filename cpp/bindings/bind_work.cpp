#include <optional>

#include "alphaflops/error.hpp"
#include "alphaflops/spec.hpp"
#include "alphaflops/training.hpp"
#include "alphaflops/work.hpp"
#include "bindings.hpp"

namespace alphaflops::python {
namespace {

using Ints = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>;

/// A column read row by row; an absent column is its default everywhere.
class SpecColumn {
 public:
  SpecColumn(const py::dict& columns, const char* name, std::int64_t fallback, std::size_t rows)
      : fallback_(fallback) {
    if (!columns.contains(name)) return;
    values_ = py::cast<Ints>(columns[name]);
    if (values_->ndim() != 1 || static_cast<std::size_t>(values_->size()) != rows) {
      throw ShapeError(std::string("column '") + name + "' has " + std::to_string(values_->size()) +
                       " values; the table has " + std::to_string(rows) + " rows");
    }
  }
  std::int64_t operator[](std::size_t i) const { return values_ ? values_->data()[i] : fallback_; }

 private:
  std::int64_t fallback_;
  std::optional<Ints> values_;
};

Pass pass_of(std::int64_t code) {
  if (code < 0 || code >= pass_count) throw ShapeError("pass " + std::to_string(code) + " is none");
  return static_cast<Pass>(code);
}

/// One spec a row; `at` is called with the row's number and the spec.
template <typename At>
void for_each_spec(const std::vector<std::string>& ops, const std::vector<std::string>& dtypes,
                   const py::dict& columns, At&& at) {
  const std::size_t rows = ops.size();
  if (dtypes.size() != rows) throw ShapeError("dtypes and ops differ in length");
  const auto column = [&](const char* name, std::int64_t fallback) {
    return SpecColumn(columns, name, fallback, rows);
  };
  const auto batch = column("batch", 1), c_in = column("c_in", 1), h_in = column("h_in", 1),
             w_in = column("w_in", 1), c_out = column("c_out", 1), k_h = column("k_h", 1),
             k_w = column("k_w", 1), stride_h = column("stride_h", 1),
             stride_w = column("stride_w", 1), pad_h = column("pad_h", 0),
             pad_w = column("pad_w", 0), dilation_h = column("dilation_h", 1),
             dilation_w = column("dilation_w", 1), groups = column("groups", 1),
             h_out = column("h_out", 0), w_out = column("w_out", 0), bias = column("bias", 0),
             pass = column("pass", 0), training = column("training", 0);
  for (std::size_t i = 0; i < rows; ++i) {
    at(i, OperatorSpec{.op = ops[i],
                       .batch = batch[i],
                       .c_in = c_in[i],
                       .h_in = h_in[i],
                       .w_in = w_in[i],
                       .c_out = c_out[i],
                       .k_h = k_h[i],
                       .k_w = k_w[i],
                       .stride_h = stride_h[i],
                       .stride_w = stride_w[i],
                       .pad_h = pad_h[i],
                       .pad_w = pad_w[i],
                       .dilation_h = dilation_h[i],
                       .dilation_w = dilation_w[i],
                       .groups = groups[i],
                       .h_out = h_out[i],
                       .w_out = w_out[i],
                       .bias = bias[i] != 0,
                       .dtype = parse_dtype(dtypes[i]),
                       .pass = pass_of(pass[i]),
                       .training = training[i] != 0});
  }
}

WorkTable work_from_specs(const std::vector<std::string>& ops,
                          const std::vector<std::string>& dtypes, const py::dict& columns) {
  WorkTable table;
  table.reserve(ops.size());
  for_each_spec(ops, dtypes, columns, [&](std::size_t i, const OperatorSpec& spec) {
    try {
      table.append(work_of(spec));
    } catch (const ShapeError& e) {
      throw ShapeError("row " + std::to_string(i) + ": " + e.what());
    } catch (const OverflowError& e) {
      throw OverflowError("row " + std::to_string(i) + ": " + e.what());
    } catch (const UnsupportedError& e) {
      throw UnsupportedError("row " + std::to_string(i) + ": " + e.what());
    }
  });
  return table;
}

/// A vector of enumerators as its codes.
template <typename E>
py::array_t<std::uint8_t> codes(const std::vector<E>& values) {
  py::array_t<std::uint8_t> array(static_cast<py::ssize_t>(values.size()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    array.mutable_data()[i] = static_cast<std::uint8_t>(values[i]);
  }
  return array;
}

/// The names of an enumeration; a code is the index of its name.
template <typename E>
py::tuple names(int count) {
  py::tuple result(count);
  for (int i = 0; i < count; ++i) {
    result[static_cast<std::size_t>(i)] = std::string(to_string(static_cast<E>(i)));
  }
  return result;
}

template <std::vector<std::int64_t> WorkTable::* member>
void bind_column(py::class_<WorkTable>& table, const char* name) {
  table.def_property_readonly(name, [](const py::object& self) {
    return column(py::cast<const WorkTable&>(self).*member, self);
  });
}

}  // namespace

void bind_work(py::module_& m) {
  using py::arg;
  m.attr("KINDS") = names<Kind>(kind_count);
  py::tuple operators(op_names().size());
  for (std::size_t i = 0; i < op_names().size(); ++i) operators[i] = std::string(op_names()[i]);
  m.attr("OPERATORS") = operators;
  m.attr("PASSES") = names<Pass>(pass_count);
  m.attr("DTYPES") = names<DType>(dtype_count);
  py::tuple bytes(dtype_count);
  for (std::size_t i = 0; i < dtype_count; ++i) bytes[i] = size_of(static_cast<DType>(i));
  m.attr("DTYPE_BYTES") = bytes;

  py::class_<WorkTable> table(
      m, "WorkTable",
      R"doc(One row a kernel launch as a device sees it; every column has one element a row.)doc");
  table.def("__len__", &WorkTable::size)
      .def("__repr__",
           [](const WorkTable& w) { return "WorkTable(" + std::to_string(w.size()) + " rows)"; })
      .def_property_readonly("kind", [](const WorkTable& w) { return codes(w.kind); })
      .def_property_readonly(
          "op",
          [](const py::object& self) { return column(py::cast<const WorkTable&>(self).op, self); })
      .def_property_readonly("passes", [](const WorkTable& w) { return codes(w.pass); })
      .def_property_readonly("dtype", [](const WorkTable& w) { return codes(w.dtype); })
      .def_property_readonly("node",
                             [](const py::object& self) {
                               return column(py::cast<const WorkTable&>(self).node, self);
                             })
      .def_property_readonly("biased",
                             [](const py::object& self) {
                               return column(py::cast<const WorkTable&>(self).biased, self);
                             })
      .def_property_readonly("folded", [](const WorkTable& w) { return w.folded; });
  table.def(
      "take",
      [](const WorkTable& w, const Ints& rows) {
        return w.take({rows.data(), static_cast<std::size_t>(rows.size())});
      },
      arg("rows"));
  table.def_property_readonly("steps", [](const WorkTable& w) {
    py::array_t<std::int64_t> steps(static_cast<py::ssize_t>(w.size()));
    std::int64_t* to = steps.mutable_data();
    for (std::size_t i = 0; i < w.size(); ++i) to[i] = steps_of(w.row(i));
    return steps;
  });
  table.def(
      "one_step",
      [](const WorkTable& w, bool recurrences) {
        WorkTable each;
        each.reserve(w.size());
        for (std::size_t i = 0; i < w.size(); ++i) {
          each.append(as_modelled(w.row(i), recurrences), w.node[i], w.folded[i]);
        }
        return each;
      },
      arg("recurrences") = true);
  bind_column<&WorkTable::batch>(table, "batch");
  bind_column<&WorkTable::groups>(table, "groups");
  bind_column<&WorkTable::c_in>(table, "c_in");
  bind_column<&WorkTable::c_out>(table, "c_out");
  bind_column<&WorkTable::spatial>(table, "spatial");
  bind_column<&WorkTable::width>(table, "width");
  bind_column<&WorkTable::kernel_volume>(table, "kernel_volume");
  bind_column<&WorkTable::kernel_width>(table, "kernel_width");
  bind_column<&WorkTable::stride>(table, "stride");
  bind_column<&WorkTable::activations_read>(table, "activations_read");
  bind_column<&WorkTable::weights_read>(table, "weights_read");
  bind_column<&WorkTable::elements_written>(table, "elements_written");
  bind_column<&WorkTable::padded_elements>(table, "padded_elements");
  bind_column<&WorkTable::macs>(table, "macs");
  bind_column<&WorkTable::flops>(table, "flops");
  bind_column<&WorkTable::params>(table, "params");

  m.def(
      "lower",
      [](const Graph& graph, const std::string& mode, const Training* training) {
        return training == nullptr ? lower(graph, parse_mode(mode))
                                   : lower(graph, parse_mode(mode), *training);
      },
      arg("graph"), arg("mode") = "fused", arg("training") = nullptr,
      R"doc(Lower a graph to its work table, in mode "fused", "fused_relu" or "eager".

With `training`, of a step.)doc");
  m.def(
      "join",
      [](const std::vector<const WorkTable*>& tables) {
        for (const WorkTable* each : tables) {
          if (each == nullptr) throw py::type_error("join: None is no work table");
        }
        return join(tables);
      },
      arg("tables"));
  m.def("work_from_specs", &work_from_specs, arg("ops"), arg("dtypes"), arg("columns"));
  m.def(
      "graphs_from_specs",
      [](const std::vector<std::string>& ops, const std::vector<std::string>& dtypes,
         const py::dict& columns) {
        std::vector<Graph> graphs;
        for_each_spec(ops, dtypes, columns, [&](std::size_t, const OperatorSpec& spec) {
          graphs.push_back(graph_of(spec));
        });
        return graphs;
      },
      arg("ops"), arg("dtypes"), arg("columns"));
}

}  // namespace alphaflops::python
