# frozen_string_literal: true

# A middleware that makes an application one with a large heap: 400,000 hashes that live, garbage in each request, and
# some that lives for 500 requests: just long enough to count as old, so that full collections come.
class Heap
  LIVE = Array.new(400_000) { |n| { id: n, name: "n#{n}" } }
  GARBAGE = 1_500
  KEPT = 300
  REQUESTS = 500

  def initialize(app)
    @app = app
    @kept = Array.new(REQUESTS)
    @count = 0
  end

  def call(env)
    hashes(GARBAGE)
    @kept[@count % REQUESTS] = hashes(KEPT)
    @count += 1
    @app.call(env)
  end

  private

  def hashes(count)
    Array.new(count) { |n| { n => n.to_s } }
  end
end
