# frozen_string_literal: true

# A middleware that makes an application one with a large heap: 400,000 hashes that live, garbage in each request, and
# some of it lives for a while, so that full collections come.
class Heap
  LIVE = Array.new(400_000) { |n| { id: n, name: "n#{n}" } }
  GARBAGE = 1_500
  KEPT = 2_000

  def initialize(app)
    @app = app
    @kept = Array.new(KEPT)
    @count = 0
  end

  def call(env)
    garbage = Array.new(GARBAGE) { |n| { n => n.to_s } }
    @kept[@count % KEPT] = garbage.first(150)
    @count += 1
    @app.call(env)
  end
end
