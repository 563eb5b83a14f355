# frozen_string_literal: true

# The tests' Sinatra application. With BENCH_OBSERVED it says who answered, with BENCH_HEAP it has a large heap.
require_relative "../../tests/apps/sinatra/app"

if ENV["BENCH_OBSERVED"]
  require_relative "observed"
  use Observed
end
if ENV["BENCH_HEAP"]
  require_relative "heap"
  use Heap
end
run Shop.new
