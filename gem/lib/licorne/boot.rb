# frozen_string_literal: true

module Licorne
  # What the master asks a mold to boot: the members of its Boot message. Unknown ones are from a newer master and
  # are ignored.
  Boot = Struct.new(
    :generation, :program, :argv, :program_path, :cwd, :config_file, :rackup, :env, :options,
    :no_default_middleware, :listeners, :host, :port, :pid, :daemonized, :inherited, :worker_processes, :rails,
    :url_root, :script, :script_arguments, :check, :probe, :canary,
    keyword_init: true
  ) do
    def self.from(members)
      defaults = { generation: 1, program: "licorne", argv: [], rackup: "config.ru", options: [], listeners: [],
                   inherited: [], probe: [], canary: {} }
      given = members.transform_keys(&:to_sym).slice(*self.members).compact
      new(**defaults, **given)
    end

    # Whether this is the boot of the server.
    def first? = generation == 1

    # The process title: program, tag, the arguments as given, the generation.
    def title(tag)
      "#{program} #{[tag, *argv].join(" ")} (gen #{generation})"
    end
  end
end
