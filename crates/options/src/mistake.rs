//! What can be wrong with a command line, in the words of the program that the dialect is from.

use std::fmt;

use crate::Dialect;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// No option has this name or letter, written as it is here. argparse shows the whole word.
    Unknown {
        /// The option.
        option: String,
        /// The word that it is in.
        word: String,
    },
    /// Several options begin so.
    Ambiguous {
        /// The beginning.
        option: String,
        /// The names that it could be.
        candidates: Vec<String>,
    },
    /// The command line ends where the value of this option should be.
    Missing {
        /// The option as it was written.
        option: String,
        /// All its forms.
        names: String,
    },
    /// The word gives a value to this option, which takes none.
    Needless {
        /// The word.
        word: String,
        /// The option in all its forms.
        names: String,
    },
    /// The option does not take this value.
    Invalid {
        /// Both, as they were written.
        words: String,
        /// The option in all its forms.
        names: String,
        /// The value.
        value: String,
    },
}

/// A mistake, and the dialect whose words are used for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The dialect that words it.
    pub dialect: Dialect,
    /// What is wrong.
    pub mistake: Mistake,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dialect {
            Dialect::OptionParser { .. } => self.mistake.in_ruby(f),
            Dialect::Argparse => self.mistake.in_python(f),
        }
    }
}

impl std::error::Error for Error {}

impl Mistake {
    fn in_ruby(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { option, .. } => write!(f, "invalid option: {option} (OptionParser::InvalidOption)"),
            Self::Ambiguous { option, .. } => write!(f, "ambiguous option: {option} (OptionParser::AmbiguousOption)"),
            Self::Missing { option, .. } => write!(f, "missing argument: {option} (OptionParser::MissingArgument)"),
            Self::Needless { word, .. } => write!(f, "needless argument: {word} (OptionParser::NeedlessArgument)"),
            Self::Invalid { words, .. } => write!(f, "invalid argument: {words} (OptionParser::InvalidArgument)"),
        }
    }

    fn in_python(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { word, .. } => write!(f, "unrecognized arguments: {word}"),
            Self::Ambiguous { option, candidates } => {
                write!(f, "ambiguous option: {option} could match --{}", candidates.join(", --"))
            }
            Self::Missing { names, .. } => write!(f, "argument {names}: expected one argument"),
            Self::Needless { names, .. } => write!(f, "argument {names}: ignored explicit argument"),
            Self::Invalid { names, value, .. } => write!(f, "argument {names}: invalid int value: '{value}'"),
        }
    }
}
