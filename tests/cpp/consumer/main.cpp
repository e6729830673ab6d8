// Prices a small network with a profile given on the command line: consumer PROFILE.json
#include <alphaflops/error.hpp>
#include <alphaflops/graph.hpp>
#include <alphaflops/predict.hpp>
#include <alphaflops/profile.hpp>
#include <alphaflops/work.hpp>
#include <cstdio>
#include <vector>

int main(int argc, char** argv) {
  using namespace alphaflops;
  if (argc != 2) {
    std::fprintf(stderr, "usage: consumer PROFILE.json\n");
    return 2;
  }
  try {
    Graph graph("consumer");
    const int image = graph.input({1, 3, 224, 224});
    const int conv = graph.conv2d(
        image, {.c_out = 64, .window = {.kernel = {7, 7}, .stride = {2, 2}, .pad = {3, 3, 3, 3}}});
    graph.activation(graph.batch_norm(conv), Activation::relu);

    const Profile profile = Profile::load(argv[1]);
    const WorkTable work = lower(graph, profile.mode());
    std::vector<double> time(work.size()), lo(work.size()), hi(work.size()), factor(work.size()),
        distance(work.size());
    const PredictionView prediction{time, lo, hi, factor, distance};
    predict(work, profile, prediction, reuse_distance_bytes(work));
    std::printf("launches %zu\nmacs %lld\ntime_s %.17g\nestimate_s %.17g\n", work.size(),
                static_cast<long long>(work.macs[0]), total(work, profile, prediction).time_s,
                estimate(graph, profile).time_s);
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
  return 0;
}
